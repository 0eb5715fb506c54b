//! `Submit::cancel` and `Execute::cancel_requests`.

use shared::domain::{Cursor, Event, LogEntry, RequeueReason, RunId, Status, Timestamp};
use shared::ledger::{CancelOutcome, NewRun, WriteOutcome};

use crate::fixture::{Fixture, new_run, output, requeue, success};

crate::contract!(
    a_queued_run_is_cancelled_at_once,
    a_simulated_run_says_so_in_its_cancellation,
    a_running_run_is_marked_for_its_worker,
    only_its_own_worker_is_told,
    a_run_that_ended_stays_as_it_ended,
    an_unknown_run_is_unknown,
    a_requeued_run_is_cancelled_in_a_later_epoch,
    a_requeue_after_a_request_ends_cancelled,
    cancel_and_claim_exclude_each_other,
    cancel_and_settle_agree_on_one_end,
);

async fn a_queued_run_is_cancelled_at_once(f: &Fixture) {
    let run = f.accept(new_run("acme")).await;
    let outcome = f.submit.cancel(run, "client").await.unwrap();
    let CancelOutcome::Cancelled(entry) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(entry.cursor, Cursor::new(1, 1));
    assert_eq!(&*entry.data, r#"{"by":"client"}"#);
    assert_eq!(f.whole_log(run).await.last(), Some(&entry));

    let record = f.record(run).await;
    assert_eq!(
        (record.status, record.epoch, record.worker),
        (Status::Cancelled, 1, None)
    );
    let ended = f.ended(run).await;
    assert_eq!(
        (ended.result.status, ended.result.failure),
        (Status::Cancelled, None)
    );
    assert_eq!(record.finished_at, Some(ended.finished_at));

    let worker = f.worker().await;
    assert!(f.execute.claim(worker, &[run], None).await.unwrap().is_empty());
    assert_eq!(
        f.submit.cancel(run, "client").await.unwrap(),
        CancelOutcome::Ended(Status::Cancelled)
    );
}

async fn a_simulated_run_says_so_in_its_cancellation(f: &Fixture) {
    let run = f
        .accept(NewRun {
            simulated: true,
            ..new_run("acme")
        })
        .await;
    let outcome = f.submit.cancel(run, "admin").await.unwrap();
    let CancelOutcome::Cancelled(entry) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(&*entry.data, r#"{"by":"admin","simulated":true}"#);
}

async fn a_running_run_is_marked_for_its_worker(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    assert!(f.execute.cancel_requests(worker).await.unwrap().is_empty());
    assert_eq!(
        f.submit.cancel(claimed.id, "client").await.unwrap(),
        CancelOutcome::Requested
    );
    let asked_at = f.record(claimed.id).await.cancel_at.expect("the moment is kept");
    // Who asked first stays the one who asked.
    assert_eq!(
        f.submit.cancel(claimed.id, "admin").await.unwrap(),
        CancelOutcome::Requested
    );
    assert_eq!(
        f.execute.cancel_requests(worker).await.unwrap(),
        [(claimed.id, "client".to_owned())]
    );
    let record = f.record(claimed.id).await;
    assert_eq!(
        (record.status, record.epoch, record.cancel_at),
        (Status::Running, 1, Some(asked_at))
    );
    // It is still the worker's, which ends it.
    assert_eq!(
        f.append(worker, success(&claimed, 2)).await,
        WriteOutcome::Committed
    );
    assert!(f.execute.cancel_requests(worker).await.unwrap().is_empty());
}

async fn only_its_own_worker_is_told(f: &Fixture) {
    let (first, of_first) = f.holder(new_run("acme")).await;
    let (second, _) = f.holder(new_run("acme")).await;
    f.submit.cancel(of_first.id, "client").await.unwrap();
    assert_eq!(f.execute.cancel_requests(first).await.unwrap().len(), 1);
    assert!(f.execute.cancel_requests(second).await.unwrap().is_empty());
}

async fn a_run_that_ended_stays_as_it_ended(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, success(&claimed, 2)).await;
    assert_eq!(
        f.submit.cancel(claimed.id, "client").await.unwrap(),
        CancelOutcome::Ended(Status::Succeeded)
    );
    let record = f.record(claimed.id).await;
    assert_eq!((record.status, record.cancel_at), (Status::Succeeded, None));
}

async fn an_unknown_run_is_unknown(f: &Fixture) {
    assert_eq!(
        f.submit.cancel(RunId::new(), "client").await.unwrap(),
        CancelOutcome::Unknown
    );
}

async fn a_requeued_run_is_cancelled_in_a_later_epoch(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let later = Timestamp::from_millis(0);
    f.append(worker, requeue(&claimed, 2, RequeueReason::ProviderFailed, later))
        .await;
    let outcome = f.submit.cancel(claimed.id, "client").await.unwrap();
    assert!(matches!(outcome, CancelOutcome::Cancelled(entry) if entry.cursor == Cursor::new(3, 1)));
    assert_eq!(
        f.outline(claimed.id).await,
        [
            "0-1 run.queued",
            "1-1 attempt.started",
            "1-2 run.requeued",
            "3-1 run.cancelled"
        ]
    );
}

/// Nobody may claim a run that somebody asked to cancel: back in the queue it would wait for ever.
async fn a_requeue_after_a_request_ends_cancelled(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, output(&claimed, 2, "partial")).await;
    assert_eq!(
        f.submit.cancel(claimed.id, "client").await.unwrap(),
        CancelOutcome::Requested
    );
    let write = requeue(&claimed, 3, RequeueReason::Released, Timestamp::from_millis(0));
    let outcome = f.append(worker, write).await;
    let record = f.record(claimed.id).await;
    assert_eq!((record.status, record.worker), (Status::Cancelled, None));
    let log = f.whole_log(claimed.id).await;
    assert_eq!(log.last().cloned().map(WriteOutcome::Overtaken), Some(outcome));
    let Some(Ok(Event::RunCancelled(cancelled))) = log.last().map(LogEntry::event) else {
        panic!("{log:?}")
    };
    assert_eq!(cancelled.by, "client");
    assert_eq!(f.ended(claimed.id).await.result.status, Status::Cancelled);
}

async fn cancel_and_claim_exclude_each_other(f: &Fixture) {
    let worker = f.worker().await;
    for run in f.accept_many("acme", 40).await {
        let (submit, execute) = (f.submit.clone(), f.execute.clone());
        let cancel = tokio::spawn(async move { submit.cancel(run, "client").await.unwrap() });
        let claim = tokio::spawn(async move { execute.claim(worker, &[run], None).await.unwrap() });
        let (outcome, claimed) = (cancel.await.unwrap(), claim.await.unwrap());
        match outcome {
            CancelOutcome::Cancelled(_) => assert!(claimed.is_empty(), "a cancelled run was claimed"),
            CancelOutcome::Requested => assert_eq!(claimed.len(), 1),
            other => panic!("{other:?}"),
        }
    }
}

async fn cancel_and_settle_agree_on_one_end(f: &Fixture) {
    for _ in 0..20 {
        let (worker, claimed) = f.holder(new_run("acme")).await;
        let (run, write) = (claimed.id, success(&claimed, 2));
        let (submit, execute) = (f.submit.clone(), f.execute.clone());
        let cancel = tokio::spawn(async move { submit.cancel(run, "client").await.unwrap() });
        let settle = tokio::spawn(async move { execute.append(worker, &[write]).await.unwrap() });
        let (outcome, settled) = (cancel.await.unwrap(), settle.await.unwrap());
        assert_eq!(settled, [WriteOutcome::Committed]);
        assert!(
            matches!(
                outcome,
                CancelOutcome::Requested | CancelOutcome::Ended(Status::Succeeded)
            ),
            "{outcome:?}"
        );
        assert_eq!(f.record(run).await.status, Status::Succeeded);
    }
}
