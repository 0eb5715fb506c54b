//! Cancelling: queued, running, ended.

use serde_json::json;
use shared::domain::{Cursor, RunId};
use shared::feed::News;

use crate::house::House;

fn cancel(run: RunId) -> String {
    format!("/mcp/v1/cancel/{run}")
}

#[tokio::test]
async fn a_queued_run_is_cancelled_at_once_and_its_watchers_hear_of_it() {
    let house = House::open().await;
    let run = house.submit(&json!({ "prompt": "Hello" })).await.accepted();
    let mut watcher = house.stage.feed.subscribe.subscribe(run, Cursor::QUEUED).await;
    let cancelled = house.post(&cancel(run)).await;
    assert_eq!(
        (cancelled.status, &cancelled.body["status"]),
        (200, &json!("cancelled"))
    );
    assert!(cancelled.body["finished_at"].is_string());
    let News::Entries(heard) = watcher.recv().await else {
        panic!("the entry itself")
    };
    assert_eq!(heard[0].kind.as_str(), "run.cancelled");
    let again = house.post(&cancel(run)).await;
    assert_eq!((again.status, &again.body), (200, &cancelled.body));

    let log = house
        .stage
        .ledger
        .log
        .entries(run, Cursor::START, 10)
        .await
        .unwrap();
    assert_eq!(log.len(), 2, "cancelled once");
    assert_eq!(heard[..], log[1..]);
    let result = house.get(&format!("/mcp/v1/request/{run}/result")).await;
    assert_eq!(
        (result.status, &result.body["status"], &result.body["text"]),
        (200, &json!("cancelled"), &json!(""))
    );
    assert_eq!(house.dispatch.propose.propose(10, None).await.unwrap(), []);
    house.close().await;
}

#[tokio::test]
async fn a_running_run_is_asked_to_stop() {
    let house = House::open().await;
    let run = house.submit(&json!({ "prompt": "Hello" })).await.accepted();
    let attempt = house.stage.start(run).await;
    let asked = house.post(&cancel(run)).await;
    assert_eq!((asked.status, &asked.body["status"]), (202, &json!("running")));
    assert!(asked.body["cancel_requested_at"].is_string());
    // The worker is told at once.
    house.dispatch.propose.cancel_hinted().await;
    let again = house.post(&cancel(run)).await;
    assert_eq!(again.status, 202);
    assert_eq!(
        again.body["cancel_requested_at"],
        asked.body["cancel_requested_at"]
    );

    // It was just done: the cancel came too late, and the run stays what it is.
    attempt.succeed("Hi").await;
    let late = house.post(&cancel(run)).await;
    assert_eq!(late.problem(), (409, "already_finished", None));
    assert_eq!(late.body["run_status"], "succeeded");
    house.close().await;
}

#[tokio::test]
async fn an_unknown_run_cannot_be_cancelled() {
    let house = House::open().await;
    assert_eq!(
        house.post(&cancel(RunId::new())).await.problem(),
        (404, "run_not_found", None)
    );
    house.close().await;
}
