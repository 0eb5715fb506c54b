//! What a crash between COMMIT and the hint leaves behind. Needs the feature `failpoints`; a binary of its own,
//! because crash points are set for the whole process.

// Tells clippy that helpers, too, are test code.
#![cfg(test)]

#[expect(dead_code, reason = "`submitting` uses the rest")]
#[path = "submitting/house.rs"]
mod house;
#[expect(dead_code, reason = "`submitting` and `watching` use the rest")]
mod stage;

use house::House;
use serde_json::json;

#[tokio::test]
async fn a_run_that_was_committed_and_not_answered_is_found_by_its_key_and_by_the_queue() {
    let scenario = fail::FailScenario::setup();
    let house = House::open().await;
    let body = json!({ "prompt": "Hello" });
    fail::cfg("api::accepted", "1*panic->off").unwrap();
    let crashed = house.submit_with_key(&body, "order-1").await;
    assert_eq!(crashed.problem(), (500, "internal", None));
    assert_eq!(house.queued().await, 1);

    let again = house.submit_with_key(&body, "order-1").await;
    let run = again.accepted();
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(house.proposed().await, run);
    house.submit(&body).await.accepted();
    house.close().await;
    scenario.teardown();
}
