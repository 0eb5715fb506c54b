//! The same key is the same run: promise 2, from outside, over several APIs at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stage::client::Reply;
use crate::stage::{Client, Mode, Stage, all_modes};

const KEYS: (&str, &str) = (
    "MCP_API_KEYS",
    "acme:acme-0123456789abcdef,beta:beta-0123456789abcdef,ops:ops-0123456789abcdef:admin",
);

async fn submit(client: &Client, key: &str, body: &Value) -> Reply {
    let request = client.request(Method::POST, "/mcp/v1/request").json(body);
    client.send(request.header("idempotency-key", key)).await
}

fn accepted(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
    reply.body["request_id"].as_str().expect("an id").to_owned()
}

fn replayed(reply: &Reply) -> bool {
    reply
        .headers
        .get("idempotent-replayed")
        .is_some_and(|value| value == "true")
}

all_modes! {
    async fn a_hundred_submits_with_one_key_are_one_run(mode: Mode) {
        let mut stage = Stage::with(mode, &[KEYS]).await;
        if mode.is_cluster() {
            stage.start_api().await;
        }
        let doors: Vec<Client> = (0..stage.apis.len())
            .map(|index| stage.client_of(index).with_key("acme-0123456789abcdef"))
            .collect();
        let body = json!({"prompt": "Once", "model": "sim-fast:tokens=3", "user_id": "ada", "metadata": {"n": 1}});
        for key in ["first", "second", "third"] {
            let replies = join_all((0..100).map(|n| submit(&doors[n % doors.len()], key, &body))).await;
            let runs: BTreeSet<String> = replies.iter().map(accepted).collect();
            assert_eq!(runs.len(), 1, "{runs:?}");
            let made = replies.iter().filter(|reply| !replayed(reply)).count();
            assert_eq!(made, 1, "one made it, the others found it");
        }
        let first = accepted(&submit(&doors[0], "first", &body).await);
        let result = doors[0].result(&first).await;
        assert_eq!(result["status"], "succeeded");

        // After its end it is still the same run.
        for door in &doors {
            let again = submit(door, "first", &body).await;
            assert_eq!((accepted(&again), replayed(&again)), (first.clone(), true));
            assert_eq!(again.body["status"], "succeeded");
        }
        // Written in another way it says the same.
        let rewritten = r#"{ "metadata":{"n":1}, "user_id":"ada", "model":"sim-fast:tokens=3","prompt":"Once", "priority": 50 }"#;
        let rewritten: Value = serde_json::from_str(rewritten).expect("JSON");
        assert_eq!(accepted(&submit(&doors[0], "first", &rewritten).await), first);
        // Saying something else, it is refused, and the run is untouched.
        for (field, value) in [("prompt", json!("Twice")), ("user_id", json!("eve")), ("max_tokens", json!(9))] {
            let mut other = body.clone();
            other[field] = value;
            for door in &doors {
                let refused = submit(door, "first", &other).await;
                assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
                assert_eq!(refused.body["code"], "idempotency_key_reused", "{}", refused.body);
                assert_eq!(refused.body["field"], "idempotency-key");
            }
        }
        assert_eq!(doors[0].result(&first).await, result);

        // Keys belong to their tenant.
        let beta = doors[0].with_key("beta-0123456789abcdef");
        let others = submit(&beta, "first", &body).await;
        assert!(!replayed(&others));
        assert_ne!(accepted(&others), first);
        beta.result(&accepted(&others)).await;
        for key in ["second", "third"] {
            doors[0].result(&accepted(&submit(&doors[0], key, &body).await)).await;
        }
        let all = stage.client().get("/mcp/v1/requests?all_tenants=true").await;
        assert_eq!(all.body["requests"].as_array().expect("runs").len(), 4);
        assert_eq!(stage.simulator.stats().requests, 4, "one execution each");
        stage.close().await;
    }
}
