//! The same key is the same run, whatever happens at the same time.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;
use shared::config::DepthLimits;

use crate::house::{Answer, House, Plan, SUBMIT};

#[tokio::test]
async fn a_hundred_concurrent_submits_with_one_key_are_one_run() {
    let house = House::open().await;
    let body = json!({ "prompt": "Hello" });
    let answers = join_all((0..100).map(|_| house.submit_with_key(&body, "order-1"))).await;
    let runs: HashSet<_> = answers.iter().map(Answer::accepted).collect();
    assert_eq!(runs.len(), 1);
    let first = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed").is_none())
        .count();
    assert_eq!(first, 1);
    assert_eq!(house.queued().await, 1);
    house.close().await;
}

#[tokio::test]
async fn two_servers_over_one_ledger_agree() {
    let house = House::open().await;
    let neighbour = house.neighbour().await;
    let body = json!({ "prompt": "Hello" });
    let keys: Vec<_> = (0..10).map(|index| format!("order-{index}")).collect();
    let here = join_all(
        keys.iter()
            .cycle()
            .take(50)
            .map(|key| house.submit_with_key(&body, key)),
    );
    let there = join_all(
        keys.iter()
            .rev()
            .cycle()
            .take(50)
            .map(|key| neighbour.submit_with_key(&body, key)),
    );
    let (here, there) = tokio::join!(here, there);
    let runs: HashSet<_> = here.iter().chain(&there).map(Answer::accepted).collect();
    assert_eq!(runs.len(), 10);
    assert_eq!(house.queued().await, 10);
    house.close().await;
    neighbour.close().await;
}

#[tokio::test]
async fn a_hundred_keys_at_once_are_a_hundred_runs_each_once() {
    let house = House::open().await;
    let body = json!({ "prompt": "Hello" });
    let keys: Vec<_> = (0..200).map(|index| format!("order-{}", index % 100)).collect();
    let answers = join_all(keys.iter().map(|key| house.submit_with_key(&body, key))).await;
    let runs: HashSet<_> = answers.iter().map(Answer::accepted).collect();
    assert_eq!(runs.len(), 100);
    assert_eq!(house.queued().await, 100);
    house.close().await;
}

#[tokio::test]
async fn a_replay_shows_the_run_as_it_is_now() {
    let house = House::open().await;
    let body = json!({ "prompt": "Hello" });
    let run = house.submit_with_key(&body, "order 1 ~").await.accepted();
    house.stage.start(run).await.succeed("Hi").await;
    let replayed = house.submit_with_key(&body, "order 1 ~").await;
    assert_eq!(replayed.accepted(), run);
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(replayed.body["status"], "succeeded");

    let request = house
        .request("POST", &format!("{SUBMIT}?wait=60"))
        .json(&body)
        .header("idempotency-key", "order 1 ~");
    let held = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((held.status, &held.body["text"]), (200, &json!("Hi")));
    assert_eq!(held.header("idempotent-replayed"), Some("true"));
    house.close().await;
}

#[tokio::test]
async fn how_a_request_is_written_makes_no_difference_and_what_it_says_does() {
    let house = House::open().await;
    let said = json!({ "prompt": "Hello", "metadata": { "a": 1, "b": 2 }, "user_id": "ada" });
    let run = house.submit_with_key(&said, "order-1").await.accepted();
    let rewritten =
        r#"{ "user_id":"ada", "metadata":{"b":2, "a":1}, "model":"auto", "priority":50, "prompt":"Hello" }"#;
    let request = house
        .request("POST", SUBMIT)
        .header("content-type", "application/json");
    let request = request.header("idempotency-key", "order-1").body(rewritten);
    assert_eq!(Answer::of(request.send().await.unwrap()).await.accepted(), run);

    for (field, value) in [
        ("prompt", json!("Hello!")),
        ("metadata", json!({ "a": 1 })),
        ("user_id", json!("eve")),
        ("model", json!("other")),
        ("priority", json!(51)),
        ("max_tokens", json!(7)),
        ("temperature", json!(1)),
        ("deadline_ms", json!(60_000)),
        ("task_type", json!("code")),
        ("on_interruption", json!("fail")),
        ("provider_hint", json!("openai")),
        ("params", json!({ "seed": 1 })),
    ] {
        let mut other = said.clone();
        other[field] = value;
        let answer = house.submit_with_key(&other, "order-1").await;
        assert_eq!(
            answer.problem(),
            (422, "idempotency_key_reused", Some("idempotency-key")),
            "{field}"
        );
    }
    assert_eq!(house.queued().await, 1);
    house.close().await;
}

#[tokio::test]
async fn a_key_belongs_to_its_tenant() {
    let keys = &["acme:acme-0123456789abcdef", "beta:beta-0123456789abcdef"];
    let house = House::build(Plan {
        keys,
        ..Plan::default()
    })
    .await;
    let submit = async |key: &str| {
        let request = house
            .request("POST", SUBMIT)
            .json(&json!({ "prompt": "Hello" }))
            .bearer_auth(key);
        Answer::of(request.header("idempotency-key", "order-1").send().await.unwrap())
            .await
            .accepted()
    };
    let acme = submit("acme-0123456789abcdef").await;
    assert_eq!(submit("acme-0123456789abcdef").await, acme);
    assert_ne!(submit("beta-0123456789abcdef").await, acme);
    house.close().await;
}

#[tokio::test]
async fn a_repeated_submit_finds_its_run_although_the_queue_is_full() {
    let depth = DepthLimits {
        per_tenant: 1,
        in_all: 1,
    };
    let house = House::build(Plan {
        depth,
        ..Plan::default()
    })
    .await;
    let body = json!({"prompt": "hello"});
    let first = house.submit_with_key(&body, "k").await.accepted();
    let again = house.submit_with_key(&body, "k").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.accepted(), first);
    let other = house.submit_with_key(&json!({"prompt": "another"}), "k").await;
    assert_eq!(
        other.problem(),
        (422, "idempotency_key_reused", Some("idempotency-key"))
    );
    let new = house.submit_with_key(&body, "other").await;
    assert_eq!(new.problem(), (429, "tenant_queue_full", None));
    house.close().await;
}
