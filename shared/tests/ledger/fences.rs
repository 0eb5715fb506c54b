//! Fences: who was declared dead, or lost a run, changes nothing any more; and of two writers exactly one wins.

use shared::domain::{EventType, RequeueReason, Status, Timestamp};
use shared::ledger::{Renewal, WriteOutcome};

use crate::fixture::{Fixture, LONG, new_run, output, requeue, success};

crate::contract!(
    a_zombie_changes_nothing,
    a_zombie_changes_nothing_after_its_run_went_on_elsewhere,
    a_released_run_is_fenced,
    of_append_and_reap_exactly_one_wins,
    a_settled_run_is_not_released,
    of_two_reapers_exactly_one_moves_the_run,
    of_reap_and_renewal_exactly_one_wins,
    a_claim_never_outlives_its_worker,
);

const RACES: usize = 25;

async fn a_zombie_changes_nothing(f: &Fixture) {
    let (zombie, claimed) = f.holder(new_run("acme")).await;
    f.append(zombie, output(&claimed, 2, "seen")).await;
    let waiting = f.accept(new_run("acme")).await;
    f.let_lapse(zombie).await;
    assert_eq!(f.upkeep.reap(zombie, 10, true).await.unwrap().len(), 1);

    let log = f.whole_log(claimed.id).await;
    let record = f.record(claimed.id).await;
    let writes = [
        output(&claimed, 3, "zombie"),
        success(&claimed, 3),
        requeue(&claimed, 3, RequeueReason::Released, Timestamp::from_millis(0)),
    ];
    for write in writes {
        assert_eq!(f.append(zombie, write).await, WriteOutcome::Fenced);
    }
    assert_eq!(f.execute.renew(zombie, LONG, false).await.unwrap(), Renewal::Dead);
    assert!(
        f.execute
            .claim(zombie, &[claimed.id, waiting], None)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(f.execute.held(zombie).await.unwrap().is_empty());
    assert_eq!(f.whole_log(claimed.id).await, log);
    assert_eq!(f.record(claimed.id).await, record);
    assert!(f.reader.result(claimed.id).await.unwrap().is_none());
}

async fn a_zombie_changes_nothing_after_its_run_went_on_elsewhere(f: &Fixture) {
    let (zombie, before) = f.holder(new_run("acme")).await;
    f.upkeep.reap(zombie, 10, false).await.unwrap();
    let worker = f.worker().await;
    let after = f.claim(worker, before.id).await;
    assert_eq!(f.append(zombie, success(&before, 2)).await, WriteOutcome::Fenced);
    assert_eq!(f.append(zombie, success(&after, 2)).await, WriteOutcome::Fenced);
    assert_eq!(
        f.append(worker, success(&after, 2)).await,
        WriteOutcome::Committed
    );
    assert_eq!(
        f.outline(before.id).await,
        [
            "0-1 run.queued",
            "1-1 attempt.started",
            "2-1 run.requeued",
            "3-1 attempt.started",
            "3-2 run.succeeded"
        ]
    );
}

async fn a_released_run_is_fenced(f: &Fixture) {
    let (worker, before) = f.holder(new_run("acme")).await;
    f.upkeep
        .release(worker, before.id, before.epoch)
        .await
        .unwrap()
        .expect("it was held");
    // The same worker may claim it again, and is then another holder.
    let after = f.claim(worker, before.id).await;
    assert_eq!(f.append(worker, success(&before, 2)).await, WriteOutcome::Fenced);
    assert_eq!(
        f.append(worker, success(&after, 2)).await,
        WriteOutcome::Committed
    );
}

async fn of_append_and_reap_exactly_one_wins(f: &Fixture) {
    for _ in 0..RACES {
        let (worker, claimed) = f.holder(new_run("acme")).await;
        let (execute, upkeep, write) = (f.execute.clone(), f.upkeep.clone(), success(&claimed, 2));
        let append = tokio::spawn(async move { execute.append(worker, &[write]).await.unwrap() });
        let reap = tokio::spawn(async move { upkeep.reap(worker, 10, false).await.unwrap() });
        let (outcome, closed) = (append.await.unwrap(), reap.await.unwrap());
        match outcome[0] {
            WriteOutcome::Committed => {
                assert!(closed.is_empty(), "the run had ended");
                assert_eq!(f.record(claimed.id).await.status, Status::Succeeded);
            }
            WriteOutcome::Fenced => {
                assert_eq!(closed.len(), 1);
                assert_eq!(f.record(claimed.id).await.status, Status::Queued);
                assert_eq!(f.outline(claimed.id).await[2..], ["2-1 run.requeued"]);
            }
            ref other => panic!("nobody cancelled: {other:?}"),
        }
    }
}

async fn a_settled_run_is_not_released(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, success(&claimed, 2)).await;
    let log = f.whole_log(claimed.id).await;
    let released = f.upkeep.release(worker, claimed.id, claimed.epoch).await.unwrap();
    assert_eq!(released, None);
    assert_eq!(f.whole_log(claimed.id).await, log);
    assert_eq!(f.record(claimed.id).await.status, Status::Succeeded);
}

async fn of_two_reapers_exactly_one_moves_the_run(f: &Fixture) {
    for _ in 0..RACES {
        let (worker, claimed) = f.holder(new_run("acme")).await;
        let reapers = [(); 2].map(|()| {
            let upkeep = f.upkeep.clone();
            tokio::spawn(async move { upkeep.reap(worker, 10, false).await.unwrap().len() })
        });
        let [first, second] = reapers;
        assert_eq!(first.await.unwrap() + second.await.unwrap(), 1);
        assert_eq!(f.outline(claimed.id).await[2..], ["2-1 run.requeued"]);
    }
}

async fn of_reap_and_renewal_exactly_one_wins(f: &Fixture) {
    for _ in 0..RACES {
        let (worker, claimed) = f.holder(new_run("acme")).await;
        f.let_lapse(worker).await;
        let (execute, upkeep) = (f.execute.clone(), f.upkeep.clone());
        let renewal = tokio::spawn(async move { execute.renew(worker, LONG, false).await.unwrap() });
        let reap = tokio::spawn(async move { upkeep.reap(worker, 10, true).await.unwrap() });
        let (renewal, closed) = (renewal.await.unwrap(), reap.await.unwrap());
        assert_eq!(renewal == Renewal::Dead, closed.len() == 1);
        let expected = if closed.is_empty() {
            Status::Running
        } else {
            Status::Queued
        };
        assert_eq!(f.record(claimed.id).await.status, expected);
    }
}

async fn a_claim_never_outlives_its_worker(f: &Fixture) {
    for _ in 0..RACES {
        let worker = f.worker().await;
        let run = f.accept(new_run("acme")).await;
        let (execute, upkeep) = (f.execute.clone(), f.upkeep.clone());
        let claim = tokio::spawn(async move { execute.claim(worker, &[run], None).await.unwrap() });
        let reap = tokio::spawn(async move { upkeep.reap(worker, 10, false).await.unwrap() });
        let (claimed, closed) = (claim.await.unwrap(), reap.await.unwrap());
        // What was claimed before the reaper came, it has moved; afterwards nothing is claimed.
        assert_eq!(claimed.len(), closed.len());
        assert!(
            closed
                .iter()
                .all(|closed| closed.entry.kind == EventType::RunRequeued)
        );
        assert_eq!(f.record(run).await.status, Status::Queued);
    }
}
