//! How much may be queued, and that room is found again.

use futures_util::future::join_all;
use serde_json::json;
use shared::config::DepthLimits;

use crate::house::{Answer, House, Plan, SUBMIT};

const KEYS: &[&str] = &["acme:acme-0123456789abcdef", "beta:beta-0123456789abcdef"];

async fn submit(house: &House, key: &str) -> Answer {
    let request = house
        .request("POST", SUBMIT)
        .json(&json!({ "prompt": "Hello" }))
        .bearer_auth(key);
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_tenant_is_stopped_at_its_limit_and_goes_on_when_there_is_room() {
    let depth = DepthLimits {
        per_tenant: 3,
        in_all: 100,
    };
    let house = House::build(Plan {
        keys: KEYS,
        depth,
        ..Plan::default()
    })
    .await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(submit(&house, "acme-0123456789abcdef").await.accepted());
    }
    for _ in 0..2 {
        assert_eq!(
            submit(&house, "acme-0123456789abcdef").await.problem(),
            (429, "tenant_queue_full", None)
        );
    }
    submit(&house, "beta-0123456789abcdef").await.accepted();
    let _attempt = house.stage.start(runs[0]).await;
    submit(&house, "acme-0123456789abcdef").await.accepted();
    assert_eq!(
        submit(&house, "acme-0123456789abcdef").await.problem(),
        (429, "tenant_queue_full", None)
    );
    assert_eq!(house.queued().await, 4);
    house.close().await;
}

#[tokio::test]
async fn the_whole_queue_has_a_limit_too() {
    let depth = DepthLimits {
        per_tenant: 3,
        in_all: 4,
    };
    let house = House::build(Plan {
        keys: KEYS,
        depth,
        ..Plan::default()
    })
    .await;
    house.stage.accept("somebody-else").await;
    for key in [
        "acme-0123456789abcdef",
        "acme-0123456789abcdef",
        "beta-0123456789abcdef",
    ] {
        submit(&house, key).await.accepted();
    }
    assert_eq!(
        submit(&house, "beta-0123456789abcdef").await.problem(),
        (429, "queue_full", None)
    );
    assert_eq!(house.queued().await, 4);
    house.close().await;
}

#[tokio::test]
async fn a_crowd_does_not_get_past_the_limit() {
    let depth = DepthLimits {
        per_tenant: 20,
        in_all: 100,
    };
    let house = House::build(Plan {
        keys: KEYS,
        depth,
        ..Plan::default()
    })
    .await;
    let answers = join_all((0..60).map(|_| submit(&house, "acme-0123456789abcdef"))).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert!((1..=20).contains(&accepted), "{accepted}");
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 202 || answer.problem() == (429, "tenant_queue_full", None))
    );
    assert_eq!(house.queued().await, accepted as u64);
    while house.queued().await < 20 {
        submit(&house, "acme-0123456789abcdef").await.accepted();
    }
    house.close().await;
}

#[tokio::test]
async fn a_refused_request_keeps_no_place() {
    let depth = DepthLimits {
        per_tenant: 1,
        in_all: 1,
    };
    let house = House::build(Plan {
        depth,
        ..Plan::default()
    })
    .await;
    let key = "same-key";
    let run = house
        .submit_with_key(&json!({ "prompt": "Hello" }), key)
        .await
        .accepted();
    house.stage.start(run).await.succeed("Hi").await;
    for _ in 0..5 {
        let reused = house.submit_with_key(&json!({ "prompt": "Other" }), key).await;
        assert_eq!(
            reused.problem(),
            (422, "idempotency_key_reused", Some("idempotency-key"))
        );
        assert_eq!(
            house
                .submit_with_key(&json!({ "prompt": "Hello" }), key)
                .await
                .accepted(),
            run
        );
    }
    house.submit(&json!({ "prompt": "Hello" })).await.accepted();
    house.close().await;
}
