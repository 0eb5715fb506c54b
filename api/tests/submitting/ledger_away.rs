//! While the ledger is away nothing is accepted, and nothing is lost.

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::house::House;

async fn break_and_mend(house: &House, statement: &str) {
    house
        .stage
        .ledger
        .connection()
        .execute_unprepared(statement)
        .await
        .unwrap();
}

#[tokio::test]
async fn everything_is_answered_503_until_it_is_back() {
    let house = House::open().await;
    let body = json!({ "prompt": "Hello" });
    let run = house.submit_with_key(&body, "order-1").await.accepted();
    break_and_mend(&house, "ALTER TABLE mcp_request RENAME TO away").await;

    let refused = house.submit_with_key(&body, "order-2").await;
    assert_eq!(refused.problem(), (503, "ledger_unavailable", None));
    assert!(
        !refused.body["detail"].as_str().unwrap().contains("mcp_request"),
        "no inner text: {refused:?}"
    );
    for path in [
        format!("/mcp/v1/request/{run}"),
        format!("/mcp/v1/request/{run}/result"),
        "/mcp/v1/requests".to_owned(),
    ] {
        assert_eq!(
            house.get(&path).await.problem(),
            (503, "ledger_unavailable", None),
            "{path}"
        );
    }
    assert_eq!(
        house.post(&format!("/mcp/v1/cancel/{run}")).await.problem(),
        (503, "ledger_unavailable", None)
    );

    break_and_mend(&house, "ALTER TABLE away RENAME TO mcp_request").await;
    assert_eq!(house.queued().await, 1, "nothing half-written");
    assert_eq!(house.submit_with_key(&body, "order-1").await.accepted(), run);
    let second = house.submit_with_key(&body, "order-2").await;
    assert_eq!(second.header("idempotent-replayed"), None);
    second.accepted();
    house.close().await;
}

#[tokio::test]
async fn a_run_without_its_first_event_is_not_accepted() {
    let house = House::open().await;
    house.submit(&json!({ "prompt": "Hello" })).await.accepted();
    break_and_mend(&house, "ALTER TABLE mcp_event RENAME TO away").await;
    let refused = house.submit(&json!({ "prompt": "Hello" })).await;
    assert_eq!(refused.problem(), (503, "ledger_unavailable", None));
    break_and_mend(&house, "ALTER TABLE away RENAME TO mcp_event").await;
    assert_eq!(
        house.queued().await,
        1,
        "the run and its event are one transaction"
    );
    house.close().await;
}
