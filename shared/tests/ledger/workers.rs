//! `Execute::register`, `renew` and `held`; `Upkeep::lapsed_workers` and `live_workers`.

use shared::domain::{Status, WorkerId};
use shared::ledger::{Held, NewWorker, Renewal, WriteOutcome};

use crate::fixture::{Fixture, LONG, SHORT, new_run, output, success, until};

crate::contract!(
    a_registered_worker_is_alive_with_a_lease,
    registering_again_begins_the_lease_anew,
    a_renewal_brings_a_lapsed_lease_back,
    an_unknown_worker_is_dead,
    a_dead_worker_stays_dead,
    a_draining_worker_claims_nothing_and_finishes_its_work,
    draining_is_for_good,
    a_worker_without_a_lease_claims_nothing,
    held_is_what_the_ledger_believes,
);

async fn a_registered_worker_is_alive_with_a_lease(f: &Fixture) {
    let worker = NewWorker {
        id: WorkerId::new(),
        name: "host:7".to_owned(),
        slots: 3,
    };
    let now = f.execute.register(&worker, LONG).await.unwrap();
    assert_eq!(f.upkeep.live_workers().await.unwrap(), [worker.id]);
    assert!(f.upkeep.lapsed_workers().await.unwrap().is_empty());
    let overview = f.reader.overview().await.unwrap();
    let [record] = &*overview.workers else {
        panic!("{overview:?}")
    };
    assert_eq!(
        (record.id, &*record.name, &*record.status, record.slots),
        (worker.id, "host:7", "alive", 3)
    );
    assert_eq!((record.started_at, record.lease_until), (now, now.plus(LONG)));
}

async fn registering_again_begins_the_lease_anew(f: &Fixture) {
    let worker = NewWorker {
        id: WorkerId::new(),
        name: "host:7".to_owned(),
        slots: 3,
    };
    let first = f.execute.register(&worker, SHORT).await.unwrap();
    until(async || f.upkeep.lapsed_workers().await.unwrap() == [worker.id]).await;
    let second = f.execute.register(&worker, LONG).await.unwrap();
    assert!(second > first);
    assert!(f.upkeep.lapsed_workers().await.unwrap().is_empty());
    assert_eq!(f.upkeep.live_workers().await.unwrap(), [worker.id]);
}

async fn a_renewal_brings_a_lapsed_lease_back(f: &Fixture) {
    let worker = f.worker().await;
    f.let_lapse(worker).await;
    assert_eq!(f.upkeep.live_workers().await.unwrap(), [worker]);
    let Renewal::Renewed { now } = f.execute.renew(worker, LONG, false).await.unwrap() else {
        panic!("nobody reaped it")
    };
    assert!(f.upkeep.lapsed_workers().await.unwrap().is_empty());
    assert_eq!(
        f.reader.overview().await.unwrap().workers[0].lease_until,
        now.plus(LONG)
    );
}

async fn an_unknown_worker_is_dead(f: &Fixture) {
    let run = f.accept(new_run("acme")).await;
    let stranger = WorkerId::new();
    assert_eq!(
        f.execute.renew(stranger, LONG, false).await.unwrap(),
        Renewal::Dead
    );
    assert!(f.execute.claim(stranger, &[run], None).await.unwrap().is_empty());
    assert_eq!(f.record(run).await.status, Status::Queued);
}

async fn a_dead_worker_stays_dead(f: &Fixture) {
    let worker = NewWorker {
        id: WorkerId::new(),
        name: "host:7".to_owned(),
        slots: 3,
    };
    f.execute.register(&worker, LONG).await.unwrap();
    f.upkeep.reap(worker.id, 10, false).await.unwrap();
    f.execute.register(&worker, LONG).await.unwrap();
    assert_eq!(
        f.execute.renew(worker.id, LONG, false).await.unwrap(),
        Renewal::Dead
    );
    assert!(f.upkeep.live_workers().await.unwrap().is_empty());
    let run = f.accept(new_run("acme")).await;
    assert!(f.execute.claim(worker.id, &[run], None).await.unwrap().is_empty());
}

async fn a_draining_worker_claims_nothing_and_finishes_its_work(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let waiting = f.accept(new_run("acme")).await;
    assert!(matches!(
        f.execute.renew(worker, LONG, true).await.unwrap(),
        Renewal::Renewed { .. }
    ));
    assert!(
        f.execute
            .claim(worker, &[waiting], None)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        f.append(worker, output(&claimed, 2, "x")).await,
        WriteOutcome::Committed
    );
    assert_eq!(
        f.append(worker, success(&claimed, 3)).await,
        WriteOutcome::Committed
    );
    assert_eq!(f.upkeep.live_workers().await.unwrap(), [worker]);
    assert_eq!(f.reader.overview().await.unwrap().workers[0].status, "draining");
}

async fn draining_is_for_good(f: &Fixture) {
    let worker = f.worker().await;
    f.execute.renew(worker, LONG, true).await.unwrap();
    f.execute.renew(worker, LONG, false).await.unwrap();
    let run = f.accept(new_run("acme")).await;
    assert!(f.execute.claim(worker, &[run], None).await.unwrap().is_empty());
}

async fn a_worker_without_a_lease_claims_nothing(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let waiting = f.accept(new_run("acme")).await;
    f.let_lapse(worker).await;
    assert!(
        f.execute
            .claim(worker, &[waiting], None)
            .await
            .unwrap()
            .is_empty()
    );
    // What it holds stays its own until somebody reaps it.
    assert_eq!(
        f.append(worker, output(&claimed, 2, "x")).await,
        WriteOutcome::Committed
    );
}

async fn held_is_what_the_ledger_believes(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let (_, of_another) = f.holder(new_run("acme")).await;
    let second = f.accept(new_run("acme")).await;
    f.claim(worker, second).await;
    let mut held = f.execute.held(worker).await.unwrap();
    held.sort_by_key(|held| held.run);
    assert_eq!(
        held,
        [
            Held {
                run: claimed.id,
                epoch: 1
            },
            Held {
                run: second,
                epoch: 1
            }
        ]
    );
    assert!(held.iter().all(|held| held.run != of_another.id));
    f.append(worker, success(&claimed, 2)).await;
    assert_eq!(
        f.execute.held(worker).await.unwrap(),
        [Held {
            run: second,
            epoch: 1
        }]
    );
    assert!(f.execute.held(WorkerId::new()).await.unwrap().is_empty());
}
