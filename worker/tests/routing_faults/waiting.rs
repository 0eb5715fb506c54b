//! Runs that nobody can take now: they wait as long as they must, and no longer.

use std::time::Duration;

use serde_json::json;
use shared::domain::{Event, EventType, Interruption, RequeueReason, Status, Timestamp};

use crate::stage::{File, Stage, Told, simulator, soon, text};

fn requeued(told: &Told) -> Vec<(RequeueReason, Timestamp)> {
    let events = told.events(EventType::RunRequeued).into_iter();
    events
        .map(|event| match event {
            Event::RunRequeued(requeued) => (requeued.reason, requeued.not_before),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn moments(told: &Told, kind: EventType) -> Vec<Timestamp> {
    let of_kind = told.entries.iter().filter(|entry| entry.kind == kind);
    of_kind.map(|entry| entry.at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_when_to_come_back_is_left_alone_until_then() {
    for script in [
        "fault=429,times=1,retry_after=2",
        "fault=429,times=1,retry_after=date:2",
        "fault=503,times=1,retry_after=2",
    ] {
        let provider = simulator().await;
        let file = File::default().provider("a", &provider.base_url()).model(
            "a",
            &format!("sim-fast:tokens=4,{script}"),
            "m",
        );
        let stage = Stage::open(&file).await;
        let told = stage.play().await;
        assert_eq!(told.text(), text(4), "{script}");
        let waits = requeued(&told);
        assert_eq!(waits[0].0, RequeueReason::ProviderFailed, "{script}");
        let claimed = moments(&told, EventType::AttemptStarted);
        assert!(waits[0].1.since(claimed[0]) >= Duration::from_secs(2), "{script}");
        assert!(claimed[1] >= waits[0].1, "{script}");
        assert_eq!(provider.stats().requests, 2, "{script}");
        stage.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_makes_runs_wait_and_a_probe_lets_them_go_on() {
    let provider = simulator().await;
    let file = File::default().provider("a", &provider.base_url()).model(
        "a",
        "sim-fast:tokens=4,fault=500,times=5",
        "m",
    );
    let stage = Stage::open(&file).await;
    // Three calls each are what a run has; the breaker judges at five.
    let failed = stage.play().await;
    assert_eq!(failed.result.result.status, Status::Failed);
    let second = stage.submit(Interruption::Restart, json!({})).await;
    let mut watcher = stage.watch(second).await;
    let mut failures = 0;
    while failures < 2 {
        let entry = soon("the second run's calls", watcher.next())
            .await
            .expect("an entry");
        failures += u32::from(entry.kind == EventType::ProviderFailed);
    }
    // It is open now: who comes meanwhile is not even tried.
    let waited = stage.play().await;
    assert_eq!(waited.text(), text(4));
    assert!(waited.events(EventType::ProviderFailed).is_empty());
    assert!(!waited.events(EventType::RouteUnavailable).is_empty());
    assert_eq!(requeued(&waited)[0].0, RequeueReason::NoProvider);
    assert_eq!(stage.told(second).await.text(), text(4));
    // Five that failed, and one probe for each of the two.
    assert_eq!(provider.stats().requests, 7);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_nobody_offers_is_an_end_with_a_reason() {
    let provider = simulator().await;
    let file = File::default()
        .provider("a", &provider.base_url())
        .model("a", "sim-fast", "other");
    let stage = Stage::open(&file).await;
    let told = stage.play().await;
    let failure = told.result.result.failure.as_ref().expect("a failure");
    assert_eq!((failure.code.as_str(), failure.retryable), ("no_provider", false));
    assert!(failure.message.contains("`m`"), "{}", failure.message);
    assert_eq!(
        told.story(),
        ["run.queued", "attempt.started", "route.unavailable", "run.failed"]
    );
    assert!(told.calls.is_empty());
    stage.close().await;
}
