//! Runs that nobody can take now: they wait as long as they must, and no longer.

use std::time::Duration;

use serde_json::json;
use shared::domain::{Event, EventType, Interruption, RequeueReason, RunId, Status, Timestamp};

use crate::stage::{File, Setup, Stage, Told, simulator, soon, text};

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

/// Two runs whose calls fail until the breaker is open: it judges at five, and three each are what a run has. Gives the
/// second one, which waits.
async fn open_the_breaker(stage: &Stage) -> RunId {
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
    second
}

/// So many runs, to their ends.
async fn crowd(stage: &Stage, runs: usize) -> Vec<Told> {
    let mut submitted = Vec::new();
    for _ in 0..runs {
        submitted.push(stage.submit(Interruption::Restart, json!({})).await);
    }
    let mut all = Vec::new();
    for run in submitted {
        all.push(stage.told(run).await);
    }
    all
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
    let second = open_the_breaker(&stage).await;
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
async fn a_crowd_in_the_queue_outlives_an_outage() {
    let provider = simulator().await;
    // Still ill when it is first probed.
    let script = "sim-fast:tokens=4,fault=500,times=6";
    let file = File::default()
        .provider("a", &provider.base_url())
        .model("a", script, "m");
    let stage = Stage::open(&file).await;
    open_the_breaker(&stage).await;
    // Far more than are let go to probe: most look for a provider in vain again and again.
    let mut most = 0;
    for told in crowd(&stage, 30).await {
        assert_eq!(told.text(), text(4));
        most = most.max(told.events(EventType::RouteUnavailable).len());
    }
    assert!(most >= 3, "{most}: more than the calls a run has");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_not_waited_for_longer_than_asked() {
    let provider = simulator().await;
    // When it is well again it takes its time: two are let go to probe, and the others have nobody meanwhile.
    let script = "sim:fault=500,times=5,first=3s,pace=0ms,tokens=4";
    let file = File::default()
        .provider("a", &provider.base_url())
        .model("a", script, "m");
    let mut setup = Setup::new(&file);
    setup.worker.outage_wait = Duration::from_millis(1);
    let stage = Stage::with(setup).await;
    open_the_breaker(&stage).await;
    let (answered, given_up): (Vec<_>, Vec<_>) = crowd(&stage, 6)
        .await
        .into_iter()
        .partition(|told| told.result.result.status == Status::Succeeded);
    assert!(answered.len() <= 2, "{}", answered.len());
    for told in &given_up {
        let failure = told.result.result.failure.as_ref().expect("a failure");
        assert_eq!((failure.code.as_str(), failure.retryable), ("no_provider", true));
        // It waited until the breaker was to open.
        assert_eq!(requeued(told).len(), 1);
        assert!(told.calls.is_empty());
    }
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
