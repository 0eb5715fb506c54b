//! `Upkeep::reap` and `release`: what becomes of runs whose worker died or lost sight of them.

use shared::domain::{Cursor, Event, FailureCode, Interruption, RequeueReason, Status, WorkerId};
use shared::ledger::{NewRun, Renewal};

use crate::fixture::{Fixture, LONG, new_run, output};

crate::contract!(
    a_dead_workers_run_goes_back_to_the_queue,
    all_runs_of_a_dead_worker_are_moved_and_no_others,
    a_run_that_kills_its_workers_is_failed,
    a_visible_answer_with_policy_fail_is_failed,
    policy_fail_without_output_is_a_silent_restart,
    visible_output_with_policy_restart_is_announced_by_the_next_attempt,
    a_cancel_that_was_asked_for_is_carried_out,
    a_renewed_lease_saves_a_worker,
    without_the_condition_even_a_living_worker_is_reaped,
    the_dead_are_not_reaped_again,
    a_simulated_run_says_so_when_it_is_moved,
    a_lost_run_is_released_without_a_crash,
    a_lost_run_is_cancelled_when_that_was_asked_for,
    only_the_holder_in_its_epoch_is_released,
);

async fn a_dead_workers_run_goes_back_to_the_queue(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.let_lapse(worker).await;
    let closed = f.upkeep.reap(worker, 10, true).await.unwrap();
    let [closed] = &*closed else { panic!("{closed:?}") };
    assert_eq!((closed.run, closed.entry.cursor), (claimed.id, Cursor::new(2, 1)));
    assert_eq!(f.whole_log(claimed.id).await.last(), Some(&closed.entry));
    let Event::RunRequeued(requeued) = closed.entry.event().unwrap() else {
        panic!("{closed:?}")
    };
    assert_eq!(requeued.reason, RequeueReason::WorkerLost);

    let record = f.record(claimed.id).await;
    assert_eq!(
        (record.status, record.epoch, record.worker),
        (Status::Queued, 2, None)
    );
    assert_eq!((record.not_before, record.attempts), (requeued.not_before, 1));
    assert!(f.upkeep.lapsed_workers().await.unwrap().is_empty());
    assert!(f.upkeep.live_workers().await.unwrap().is_empty());
    // At once, by whoever is there.
    let other = f.worker().await;
    let again = f.claim(other, claimed.id).await;
    assert_eq!((again.epoch, again.retries), (3, 0));
}

async fn all_runs_of_a_dead_worker_are_moved_and_no_others(f: &Fixture) {
    let (dead, alive) = (f.worker().await, f.worker().await);
    let runs = f.accept_many("acme", 30).await;
    f.execute.claim(dead, &runs[..20], None).await.unwrap();
    f.execute.claim(alive, &runs[20..], None).await.unwrap();
    let mut moved: Vec<_> = f
        .upkeep
        .reap(dead, 10, false)
        .await
        .unwrap()
        .iter()
        .map(|closed| closed.run)
        .collect();
    moved.sort();
    assert_eq!(moved, runs[..20]);
    assert_eq!(f.execute.held(alive).await.unwrap().len(), 10);
}

async fn a_run_that_kills_its_workers_is_failed(f: &Fixture) {
    let run = f.accept(new_run("acme")).await;
    for death in 1..=3 {
        let worker = f.worker().await;
        f.claim(worker, run).await;
        let closed = f.upkeep.reap(worker, 3, false).await.unwrap().remove(0);
        match closed.entry.event().unwrap() {
            Event::RunRequeued(_) => assert!(death < 3),
            Event::RunFailed(failed) => {
                assert_eq!(death, 3);
                assert_eq!(
                    (failed.code, failed.retryable),
                    (FailureCode::CrashedTooOften, true)
                );
                assert_eq!(closed.entry.cursor, Cursor::new(6, 1));
            }
            other => panic!("{other:?}"),
        }
    }
    let ended = f.ended(run).await;
    let failure = ended.result.failure.expect("a reason");
    assert_eq!(
        (failure.code, failure.retryable),
        (FailureCode::CrashedTooOften, true)
    );
    assert_eq!(f.record(run).await.status, Status::Failed);
}

async fn a_visible_answer_with_policy_fail_is_failed(f: &Fixture) {
    let (worker, claimed) = f
        .holder(NewRun {
            on_interruption: Interruption::Fail,
            ..new_run("acme")
        })
        .await;
    f.append(worker, output(&claimed, 2, "visible")).await;
    let closed = f.upkeep.reap(worker, 10, false).await.unwrap().remove(0);
    let Event::RunFailed(failed) = closed.entry.event().unwrap() else {
        panic!("{closed:?}")
    };
    assert_eq!((failed.code, failed.retryable), (FailureCode::Interrupted, true));
    let failure = f.ended(claimed.id).await.result.failure.expect("a reason");
    assert_eq!(
        (failure.code, failure.message, failure.retryable),
        (failed.code, failed.message, true)
    );
}

async fn policy_fail_without_output_is_a_silent_restart(f: &Fixture) {
    let (worker, claimed) = f
        .holder(NewRun {
            on_interruption: Interruption::Fail,
            ..new_run("acme")
        })
        .await;
    f.upkeep.reap(worker, 10, false).await.unwrap();
    assert_eq!(f.record(claimed.id).await.status, Status::Queued);
    let worker = f.worker().await;
    let again = f.claim(worker, claimed.id).await;
    assert_eq!(
        &*again.started.data,
        format!(r#"{{"attempt":2,"worker":"{worker}"}}"#)
    );
}

async fn visible_output_with_policy_restart_is_announced_by_the_next_attempt(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, output(&claimed, 2, "void")).await;
    f.upkeep.reap(worker, 10, false).await.unwrap();
    let worker = f.worker().await;
    let again = f.claim(worker, claimed.id).await;
    let Event::AttemptStarted(started) = again.started.event().unwrap() else {
        panic!("{again:?}")
    };
    assert_eq!((started.attempt, started.void_after), (2, Some(Cursor::QUEUED)));
}

async fn a_cancel_that_was_asked_for_is_carried_out(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.submit.cancel(claimed.id, "admin").await.unwrap();
    // Even where it would have been failed otherwise.
    let closed = f.upkeep.reap(worker, 1, false).await.unwrap().remove(0);
    assert_eq!(&*closed.entry.data, r#"{"by":"admin"}"#);
    assert_eq!(f.record(claimed.id).await.status, Status::Cancelled);
    assert_eq!(f.ended(claimed.id).await.result.status, Status::Cancelled);
}

async fn a_renewed_lease_saves_a_worker(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.let_lapse(worker).await;
    f.execute.renew(worker, LONG, false).await.unwrap();
    assert!(f.upkeep.reap(worker, 10, true).await.unwrap().is_empty());
    assert_eq!(f.record(claimed.id).await.status, Status::Running);
    assert!(matches!(
        f.execute.renew(worker, LONG, false).await.unwrap(),
        Renewal::Renewed { .. }
    ));
}

async fn without_the_condition_even_a_living_worker_is_reaped(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    assert_eq!(f.upkeep.reap(worker, 10, false).await.unwrap().len(), 1);
    assert_eq!(f.record(claimed.id).await.status, Status::Queued);
    assert_eq!(f.execute.renew(worker, LONG, false).await.unwrap(), Renewal::Dead);
}

async fn the_dead_are_not_reaped_again(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.upkeep.reap(worker, 10, false).await.unwrap();
    assert!(f.upkeep.reap(worker, 10, false).await.unwrap().is_empty());
    assert!(
        f.upkeep
            .reap(WorkerId::new(), 10, false)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(f.outline(claimed.id).await.len(), 3);
}

async fn a_simulated_run_says_so_when_it_is_moved(f: &Fixture) {
    let (worker, _) = f
        .holder(NewRun {
            simulated: true,
            ..new_run("acme")
        })
        .await;
    let closed = f.upkeep.reap(worker, 10, false).await.unwrap().remove(0);
    assert!(closed.entry.data.ends_with(r#","simulated":true}"#), "{closed:?}");
}

async fn a_lost_run_is_released_without_a_crash(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let closed = f
        .upkeep
        .release(worker, claimed.id, 1)
        .await
        .unwrap()
        .expect("it was held");
    assert_eq!((closed.run, closed.entry.cursor), (claimed.id, Cursor::new(2, 1)));
    assert_eq!(f.whole_log(claimed.id).await.last(), Some(&closed.entry));
    let Event::RunRequeued(requeued) = closed.entry.event().unwrap() else {
        panic!("{closed:?}")
    };
    let record = f.record(claimed.id).await;
    assert_eq!(
        (record.status, record.epoch, record.not_before),
        (Status::Queued, 2, requeued.not_before)
    );
    // The worker lives on, and no crash was counted: the next one is the first.
    let again = f.claim(worker, claimed.id).await;
    assert_eq!((again.epoch, again.retries), (3, 0));
    let closed = f.upkeep.reap(worker, 2, false).await.unwrap().remove(0);
    assert!(
        matches!(closed.entry.event().unwrap(), Event::RunRequeued(_)),
        "{closed:?}"
    );
}

async fn a_lost_run_is_cancelled_when_that_was_asked_for(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.submit.cancel(claimed.id, "client").await.unwrap();
    let closed = f
        .upkeep
        .release(worker, claimed.id, 1)
        .await
        .unwrap()
        .expect("it was held");
    assert_eq!(&*closed.entry.data, r#"{"by":"client"}"#);
    assert_eq!(f.record(claimed.id).await.status, Status::Cancelled);
}

async fn only_the_holder_in_its_epoch_is_released(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let other = f.worker().await;
    assert_eq!(f.upkeep.release(other, claimed.id, 1).await.unwrap(), None);
    assert_eq!(f.upkeep.release(worker, claimed.id, 2).await.unwrap(), None);
    assert_eq!(f.record(claimed.id).await.status, Status::Running);
    assert!(f.upkeep.release(worker, claimed.id, 1).await.unwrap().is_some());
    assert_eq!(f.upkeep.release(worker, claimed.id, 1).await.unwrap(), None);
}
