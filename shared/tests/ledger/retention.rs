//! `Upkeep::forget`, `forget_workers` and `prepare_partitions`.

use std::time::Duration;

use shared::domain::{RunId, Status, WorkerId};
use shared::ledger::WriteOutcome;

use crate::fixture::{Fixture, LONG, keyed_run, new_run, output, success, until};

crate::contract!(
    an_old_run_goes_with_its_result_and_log,
    what_has_not_ended_stays,
    what_ended_lately_stays,
    runs_go_in_portions,
    a_forgotten_key_is_free_again,
    dead_workers_are_forgotten_and_living_ones_are_not,
    lately_dead_workers_stay,
    the_log_works_with_prepared_partitions,
);

async fn ended_run(f: &Fixture) -> RunId {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, output(&claimed, 2, "x")).await;
    f.append(worker, success(&claimed, 3)).await;
    claimed.id
}

/// Forgets what ended before this very moment, as soon as there is something.
async fn forget_all(f: &Fixture, expected: u64) {
    let gone = std::sync::atomic::AtomicU64::new(0);
    until(async || {
        let more = f.upkeep.forget(Duration::ZERO, 100).await.unwrap();
        gone.fetch_add(more, std::sync::atomic::Ordering::Relaxed) + more >= expected
    })
    .await;
    assert_eq!(gone.into_inner(), expected);
}

async fn an_old_run_goes_with_its_result_and_log(f: &Fixture) {
    let run = ended_run(f).await;
    forget_all(f, 1).await;
    assert!(f.reader.run(run).await.unwrap().is_none());
    assert!(f.reader.result(run).await.unwrap().is_none());
    assert!(f.whole_log(run).await.is_empty());
}

async fn what_has_not_ended_stays(f: &Fixture) {
    let queued = f.accept(new_run("acme")).await;
    let (_, running) = f.holder(new_run("acme")).await;
    ended_run(f).await;
    forget_all(f, 1).await;
    assert_eq!(f.record(queued).await.status, Status::Queued);
    assert_eq!(f.record(running.id).await.status, Status::Running);
    assert_eq!(f.outline(running.id).await.len(), 2);
}

async fn what_ended_lately_stays(f: &Fixture) {
    let run = ended_run(f).await;
    assert_eq!(f.upkeep.forget(LONG, 100).await.unwrap(), 0);
    assert_eq!(f.record(run).await.status, Status::Succeeded);
    assert_eq!(f.outline(run).await.len(), 4);
}

async fn runs_go_in_portions(f: &Fixture) {
    for _ in 0..5 {
        ended_run(f).await;
    }
    until(async || f.upkeep.forget(Duration::ZERO, 2).await.unwrap() > 0).await;
    let left = f.count("SELECT count(*) AS n FROM mcp_request").await;
    assert!((3..5).contains(&left), "{left}");
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_result").await, left);
}

async fn a_forgotten_key_is_free_again(f: &Fixture) {
    let (worker, claimed) = f.holder(keyed_run("acme", "k", b"body")).await;
    f.append(worker, success(&claimed, 2)).await;
    forget_all(f, 1).await;
    f.accept(keyed_run("acme", "k", b"other")).await;
}

async fn lapsed_and_reaped(f: &Fixture) -> WorkerId {
    let worker = f.worker().await;
    f.let_lapse(worker).await;
    f.upkeep.reap(worker, 10, true).await.unwrap();
    worker
}

async fn dead_workers_are_forgotten_and_living_ones_are_not(f: &Fixture) {
    lapsed_and_reaped(f).await;
    let alive = f.worker().await;
    let lapsed = f.worker().await;
    f.let_lapse(lapsed).await;
    until(async || f.upkeep.forget_workers(Duration::ZERO).await.unwrap() == 1).await;
    let mut left = f.upkeep.live_workers().await.unwrap();
    left.sort();
    assert_eq!(left, [alive, lapsed]);
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_worker").await, 2);
}

async fn lately_dead_workers_stay(f: &Fixture) {
    lapsed_and_reaped(f).await;
    assert_eq!(f.upkeep.forget_workers(LONG).await.unwrap(), 0);
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_worker").await, 1);
}

async fn the_log_works_with_prepared_partitions(f: &Fixture) {
    f.upkeep.prepare_partitions().await.unwrap();
    f.upkeep.prepare_partitions().await.unwrap();
    let (worker, claimed) = f.holder(new_run("acme")).await;
    assert_eq!(
        f.append(worker, output(&claimed, 2, "x")).await,
        WriteOutcome::Committed
    );
    assert_eq!(f.outline(claimed.id).await.len(), 3);
}
