//! What is turned away at the door, before anything of it is looked at.

use std::num::NonZeroU32;

use futures_util::future::join_all;
use serde_json::json;
use shared::config::PressureLimits;

use crate::house::{Answer, House, Plan, SUBMIT};

async fn under(pressure: PressureLimits) -> House {
    House::build(Plan {
        pressure,
        ..Plan::default()
    })
    .await
}

#[tokio::test]
async fn only_so_many_requests_are_answered_at_a_time() {
    let house = under(PressureLimits {
        in_flight: 1,
        ..PressureLimits::default()
    })
    .await;
    let body = json!({ "prompt": "Hello" });
    let waiting = house
        .request("POST", &format!("{SUBMIT}?wait=60"))
        .json(&body)
        .send();
    let others = async {
        let run = house.proposed().await;
        // The body is not looked at: what it is not allowed to say does not matter.
        let turned_away = house.submit_bytes("{").await;
        assert_eq!(turned_away.problem(), (503, "overloaded", None));
        assert_eq!(
            house.get("/mcp/v1/requests").await.problem(),
            (503, "overloaded", None)
        );
        assert_eq!(house.get("/health").await.status, 200);
        house.stage.start(run).await.succeed("Hello").await;
    };
    let (waited, ()) = tokio::join!(waiting, others);
    assert_eq!(Answer::of(waited.unwrap()).await.status, 200);
    house.submit(&body).await.accepted();
    house.close().await;
}

#[tokio::test]
async fn only_so_many_requests_are_taken_per_second() {
    let house = under(PressureLimits {
        per_second: NonZeroU32::new(1),
        ..PressureLimits::default()
    })
    .await;
    let body = json!({ "prompt": "Hello" });
    let answers = join_all((0..200).map(|_| house.submit(&body))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
    assert!(!accepted.is_empty() && !refused.is_empty());
    for answer in refused {
        assert_eq!(answer.problem(), (429, "too_many_requests", None));
    }
    assert_eq!(house.queued().await, accepted.len() as u64);
    assert_eq!(house.get("/health").await.status, 200);
    house.close().await;
}
