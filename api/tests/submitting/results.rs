//! Runs and results over their lives.

use serde_json::{Value, json};
use shared::domain::RunId;

use crate::house::House;

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
