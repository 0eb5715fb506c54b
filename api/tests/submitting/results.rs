//! Runs and results over their lives.

use api::ProviderFacts;
use serde_json::{Value, json};
use shared::domain::{Cursor, Event, FailureCode, LogEntry, Price, RunFailed, RunId, Status, Usd};
use shared::ledger::{Failure, RunResult, Then, Write, WriteOutcome};

use crate::house::{House, Plan};
use crate::stage::catalog;

#[tokio::test]
async fn a_run_shows_where_it_is_and_its_result_once_there_is_one() {
    let house = House::open().await;
    let run = house.submit(&json!({ "prompt": "Hello" })).await.accepted();
    let path = format!("/mcp/v1/request/{run}");
    let result = format!("{path}/result");
    let queued = house.get(&result).await;
    assert_eq!((queued.status, &queued.body["status"]), (202, &json!("queued")));
    assert_eq!(queued.header("retry-after"), Some("1"));
    assert_eq!(queued.body["started_at"], Value::Null);

    let mut attempt = house.stage.start(run).await;
    attempt.say(&["Hi"]).await;
    let running = house.get(&path).await;
    assert_eq!(
        (running.status, &running.body["status"]),
        (200, &json!("running"))
    );
    assert_eq!(running.body["attempts"], 1);
    assert!(running.body["started_at"].is_string());
    assert_eq!(house.get(&result).await.status, 202);

    attempt.succeed("Hi").await;
    let ended = house.get(&path).await;
    assert_eq!((ended.status, &ended.body["status"]), (200, &json!("succeeded")));
    let answer = house.get(&result).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("retry-after"), None);
    for (field, expected) in [
        ("request_id", json!(run.to_string())),
        ("status", json!("succeeded")),
        ("text", json!("Hi")),
        ("message", json!({})),
        ("finish_reason", json!("stop")),
        ("usage", Value::Null),
        ("cost_usd", Value::Null),
        ("error", Value::Null),
        ("simulated", json!(false)),
        ("finished_at", ended.body["finished_at"].clone()),
    ] {
        assert_eq!(answer.body[field], expected, "{field}");
    }
    house.close().await;
}

#[tokio::test]
async fn a_failed_run_says_why_and_shows_what_there_was() {
    let price = Price {
        input_per_million: Usd::from_nanos(1),
        output_per_million: Usd::from_nanos(1),
    };
    let providers = ProviderFacts {
        catalog: catalog("sim", Some(price), true),
        auto: Some("auto-model".to_owned()),
    };
    let house = House::build(Plan {
        providers,
        ..Plan::default()
    })
    .await;
    let run = house.submit(&json!({ "prompt": "Hello" })).await.accepted();
    let (worker, claimed) = house.claim(run).await;
    let message = "the provider broke off";
    let failed = Event::RunFailed(RunFailed {
        code: FailureCode::ProviderInterrupted,
        message: message.to_owned(),
        retryable: true,
    });
    let entry = LogEntry {
        cursor: Cursor::new(claimed.epoch, 2),
        kind: failed.kind(),
        at: shared::clock::now(),
        data: failed.to_data(true),
    };
    let result = RunResult {
        status: Status::Failed,
        answer: Some(
            r#"{"text":"Hel","message":{"reasoning_content":"hm","tool_calls":[{"index":0}]}}"#.to_owned(),
        ),
        finish_reason: None,
        provider: Some("sim".to_owned()),
        model: Some("sim-1".to_owned()),
        usage: Some(r#"{"prompt_tokens":3,"vendor":{"x":1.50}}"#.to_owned()),
        cost: Usd::from_dollars(0.25),
        failure: Some(Failure {
            code: FailureCode::ProviderInterrupted,
            message: message.to_owned(),
            retryable: true,
        }),
    };
    let write = Write {
        run,
        epoch: claimed.epoch,
        entries: vec![entry],
        usage: Vec::new(),
        then: Then::Settle(Box::new(result)),
    };
    let outcomes = house.stage.ledger.execute.append(worker, &[write]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Committed]);

    let answer = house.get(&format!("/mcp/v1/request/{run}/result")).await;
    assert_eq!(answer.status, 200);
    for (field, expected) in [
        ("status", json!("failed")),
        ("text", json!("Hel")),
        (
            "message",
            json!({ "reasoning_content": "hm", "tool_calls": [{ "index": 0 }] }),
        ),
        ("finish_reason", Value::Null),
        ("provider", json!("sim")),
        ("model", json!("sim-1")),
        ("usage", json!({ "prompt_tokens": 3, "vendor": { "x": 1.5 } })),
        ("cost_usd", json!(0.25)),
        (
            "error",
            json!({ "code": "provider_interrupted", "message": message, "retryable": true }),
        ),
        ("simulated", json!(true)),
    ] {
        assert_eq!(answer.body[field], expected, "{field}");
    }
    let cancelled = house.post(&format!("/mcp/v1/cancel/{run}")).await;
    assert_eq!(cancelled.problem(), (409, "already_finished", None));
    house.close().await;
}

#[tokio::test]
async fn an_unknown_run_has_neither() {
    let house = House::open().await;
    let path = format!("/mcp/v1/request/{}", RunId::new());
    for path in [path.clone(), format!("{path}/result")] {
        let answer = house.get(&path).await;
        assert_eq!(answer.problem(), (404, "run_not_found", None));
        assert_eq!(answer.body["instance"], path);
    }
    house.close().await;
}
