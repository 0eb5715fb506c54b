//! What an accepted submit is answered with, and what the ledger then holds.

use api::ProviderFacts;
use serde_json::{Value, json};
use shared::catalog::{Catalog, CatalogHandle};
use shared::domain::chat::ChatSpec;
use shared::domain::{Cursor, Policy, Price, Usd};

use crate::house::{Answer, House, Plan, SUBMIT};
use crate::stage::catalog;

#[tokio::test]
async fn a_prompt_alone_is_enough() {
    let house = House::open().await;
    let answer = house.submit(&json!({ "prompt": "Why is the sky blue?" })).await;
    let run = answer.accepted();
    let path = format!("/mcp/v1/request/{run}");
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(answer.header("idempotent-replayed"), None);
    let body = &answer.body;
    for (field, expected) in [
        ("status", json!("queued")),
        ("kind", json!("chat")),
        ("class", json!("standard")),
        ("priority", json!(50)),
        ("task_type", json!("chat")),
        ("model", json!("auto")),
        ("tenant", json!("local")),
        ("user_hash", Value::Null),
        ("attempts", json!(0)),
        ("estimated_cost_usd", Value::Null),
        ("estimated_tokens", json!({ "input": 9, "output": 1024 })),
        ("metadata", Value::Null),
        ("on_interruption", json!("restart")),
        ("simulated", json!(false)),
    ] {
        assert_eq!(body[field], expected, "{field}");
    }
    let links = json!({
        "self": path,
        "result": format!("{path}/result"),
        "events": format!("{path}/events"),
        "stream": format!("/mcp/v1/stream/{run}"),
        "cancel": format!("/mcp/v1/cancel/{run}"),
    });
    assert_eq!(body["links"], links);
    assert_eq!(&house.get(&path).await.body, body);
    assert_eq!(house.proposed().await, run);
    house.close().await;
}

#[tokio::test]
async fn everything_that_is_said_is_kept() {
    let price = Price {
        input_per_million: Usd::from_dollars(2.0).unwrap(),
        output_per_million: Usd::from_dollars(8.0).unwrap(),
    };
    let providers = ProviderFacts {
        catalog: catalog("acme", Some(price), true),
        auto: Some("auto-model".to_owned()),
    };
    let house = House::build(Plan {
        providers,
        ..Plan::default()
    })
    .await;
    let said = json!({
        "user_id": "ada@example.com",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "text", "text": "Hi" }], "x_unknown": { "kept": [1.50] } },
        ],
        "task_type": "code",
        "model": "gpt-next",
        "priority": 80,
        "provider_hint": "acme",
        "max_tokens": 100,
        "temperature": 0.5,
        "deadline_ms": 60_000,
        "metadata": { "ticket": 7, "emoji": "🚀" },
        "on_interruption": "fail",
        "routing_policy": "local_first",
        "prefer_local": true,
        "fallbacks": ["gpt-last", "auto"],
        "params": { "top_p": 0.9, "n": 1, "stream": false },
    });
    let answer = house.submit(&said).await;
    let run = answer.accepted();
    let body = &answer.body;
    assert_eq!(body["class"], "interactive");
    assert_eq!(body["metadata"], said["metadata"]);
    assert_eq!(body["on_interruption"], "fail");
    assert_eq!(body["simulated"], true);
    assert!(body["deadline_at"].is_string());
    assert_eq!(body["user_hash"].as_str().map(str::len), Some(64));
    // "Be brief.", "Hi", the roles and types: a rough count, and 4 for each message; 100 of output at 8 dollars.
    let input = body["estimated_tokens"]["input"].as_u64().unwrap();
    assert_eq!(body["estimated_tokens"]["output"], 100);
    assert_eq!(
        body["estimated_cost_usd"].as_f64().unwrap(),
        (input * 2 + 800) as f64 / 1e6
    );

    let (_, claimed) = house.claim(run).await;
    let spec: ChatSpec = serde_json::from_str(&claimed.spec).unwrap();
    assert_eq!(
        spec.messages.get(),
        said["messages"].to_string(),
        "in the client's own words"
    );
    assert_eq!(
        (spec.model.as_str(), spec.max_tokens, spec.temperature),
        ("gpt-next", Some(100), Some(0.5))
    );
    assert_eq!(spec.provider_hint.as_deref(), Some("acme"));
    assert_eq!(
        (spec.routing_policy, spec.prefer_local),
        (Policy::LocalFirst, true)
    );
    assert_eq!(spec.fallbacks, ["gpt-last", "auto"]);
    assert_eq!(Value::from(spec.params), said["params"]);
    assert!(!claimed.spec.contains("ada@example.com"));
    house.close().await;
}

#[tokio::test]
async fn the_first_event_is_committed_with_the_run() {
    let house = House::open().await;
    let run = house
        .submit(&json!({ "prompt": "Hello", "priority": 10 }))
        .await
        .accepted();
    let log = house
        .stage
        .ledger
        .log
        .entries(run, Cursor::START, 10)
        .await
        .unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(
        (log[0].cursor, log[0].kind.as_str()),
        (Cursor::QUEUED, "run.queued")
    );
    let data: Value = serde_json::from_str(&log[0].data).unwrap();
    assert_eq!(data["class"], "batch");
    house.close().await;
}

#[tokio::test]
async fn a_request_has_a_name_and_a_place_in_its_trace() {
    let house = House::open().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = house.request("POST", SUBMIT).json(&json!({ "prompt": "Hello" }));
    let request = request
        .header("x-request-id", "mine-1")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    let run = answer.accepted();
    let (_, claimed) = house.claim(run).await;
    assert!(claimed.trace_parent.unwrap().starts_with(&format!("00-{trace}-")));

    let unnamed = house.submit(&json!({ "prompt": "Hello" })).await;
    assert!(unnamed.header("x-request-id").unwrap().starts_with("req_"));
    house.close().await;
}

#[tokio::test]
async fn the_answer_can_be_held_until_the_run_has_ended() {
    let house = House::open().await;
    let path = format!("{SUBMIT}?wait=60");
    let held = house
        .request("POST", &path)
        .json(&json!({ "prompt": "Hello" }))
        .send();
    let work = async {
        let mut attempt = house.stage.start(house.proposed().await).await;
        attempt.say(&["Hi ", "there"]).await;
        attempt.succeed("Hi there").await;
    };
    let (response, ()) = tokio::join!(held, work);
    let answer = Answer::of(response.unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        (&answer.body["status"], &answer.body["text"]),
        (&json!("succeeded"), &json!("Hi there"))
    );
    let run = answer.body["request_id"].as_str().unwrap();
    assert_eq!(
        answer.header("location"),
        Some(format!("/mcp/v1/request/{run}").as_str())
    );
    house.close().await;
}

#[tokio::test]
async fn an_answer_held_in_vain_says_where_the_run_is() {
    let house = House::open().await;
    for wait in ["0", "0.05"] {
        let request = house
            .request("POST", &format!("{SUBMIT}?wait={wait}"))
            .json(&json!({ "prompt": "Hello" }));
        let answer = Answer::of(request.send().await.unwrap()).await;
        answer.accepted();
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.body["status"], "queued");
    }
    house.close().await;
}

#[tokio::test]
async fn the_log_can_follow_on_the_same_connection() {
    let house = House::open().await;
    let request = house.request("POST", SUBMIT).json(&json!({ "prompt": "Hello" }));
    let response = request
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let run = house.proposed().await;
    assert_eq!(location, format!("/mcp/v1/request/{run}"));
    let mut attempt = house.stage.start(run).await;
    attempt.say(&["Hi"]).await;
    attempt.succeed("Hi").await;
    let text = response.text().await.unwrap();
    let types: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(
        types,
        ["run.queued", "attempt.started", "output.delta", "run.succeeded"]
    );
    house.close().await;
}

#[tokio::test]
async fn a_draining_server_takes_no_work_and_still_answers() {
    let house = House::open().await;
    let run = house.submit(&json!({ "prompt": "Hello" })).await.accepted();
    let path = format!("{SUBMIT}?wait=300");
    let held = house
        .request("POST", &path)
        .json(&json!({ "prompt": "Hello" }))
        .send();
    let draining = async {
        // Both runs are in the ledger before the drain begins.
        while house.queued().await < 2 {
            house.dispatch.propose.ready().await;
        }
        house.drain.begin();
    };
    let (held, ()) = tokio::join!(held, draining);
    assert_eq!(held.unwrap().status(), 202, "a held answer comes at once");
    let refused = house.submit(&json!({ "prompt": "Hello" })).await;
    assert_eq!(refused.problem(), (503, "draining", None));
    assert_eq!(house.get(&format!("/mcp/v1/request/{run}")).await.status, 200);
    assert_eq!(house.queued().await, 2);
    house.close().await;
}

#[tokio::test]
async fn continue_is_taken_where_somebody_may_keep_it() {
    let house = House::build(Plan {
        providers: ProviderFacts {
            catalog: CatalogHandle::fixed(Catalog::built_in()),
            auto: None,
        },
        ..Plan::default()
    })
    .await;
    let body = |model: &str, fallbacks: Value| json!({ "prompt": "x", "model": model, "fallbacks": fallbacks, "on_interruption": "continue" });
    for (model, fallbacks) in [
        ("gemini/gemini-2.5-flash", json!([])),
        ("openai/gpt-4o", json!(["gemini/gemini-2.5-flash"])),
        ("auto", json!([])),
    ] {
        let answer = house.submit(&body(model, fallbacks)).await;
        answer.accepted();
        assert_eq!(answer.body["on_interruption"], "continue", "{model}");
    }
    let answer = house.submit(&body("openai/gpt-4o", json!([]))).await;
    assert_eq!(
        answer.problem(),
        (422, "continue_not_supported", Some("on_interruption"))
    );
    house.close().await;
}
