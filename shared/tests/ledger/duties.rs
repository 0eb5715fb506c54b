//! `Upkeep::hold_duty` and `expire_deadlines`.

use std::time::Duration;

use shared::domain::{Cursor, Event, FailureCode, Status};
use shared::ledger::NewRun;
use uuid::Uuid;

use crate::fixture::{Fixture, LONG, SHORT, new_run, until};

crate::contract!(
    a_duty_has_one_holder,
    a_duty_passes_on_when_its_term_is_over,
    of_many_who_want_a_duty_one_gets_it,
    a_queued_run_past_its_deadline_is_failed,
    running_runs_and_later_deadlines_are_left_alone,
    deadlines_are_worked_off_in_portions,
    a_reaped_run_past_its_deadline_is_failed_by_the_deadline_duty,
);

async fn a_duty_has_one_holder(f: &Fixture) {
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    assert!(f.upkeep.hold_duty("reaper", first, LONG).await.unwrap());
    assert!(!f.upkeep.hold_duty("reaper", second, LONG).await.unwrap());
    assert!(f.upkeep.hold_duty("reaper", first, LONG).await.unwrap());
    assert!(!f.upkeep.hold_duty("reaper", second, LONG).await.unwrap());
    assert!(f.upkeep.hold_duty("retention", second, LONG).await.unwrap());
}

async fn a_duty_passes_on_when_its_term_is_over(f: &Fixture) {
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    assert!(f.upkeep.hold_duty("reaper", first, LONG).await.unwrap());
    // Its holder may also shorten it.
    assert!(f.upkeep.hold_duty("reaper", first, SHORT).await.unwrap());
    until(async || f.upkeep.hold_duty("reaper", second, LONG).await.unwrap()).await;
    assert!(!f.upkeep.hold_duty("reaper", first, LONG).await.unwrap());
}

async fn of_many_who_want_a_duty_one_gets_it(f: &Fixture) {
    let wishes: Vec<_> = (0..20)
        .map(|_| {
            let upkeep = f.upkeep.clone();
            tokio::spawn(async move { upkeep.hold_duty("reaper", Uuid::now_v7(), LONG).await.unwrap() })
        })
        .collect();
    let mut holders = 0;
    for wish in wishes {
        holders += u32::from(wish.await.unwrap());
    }
    assert_eq!(holders, 1);
}

fn late_run() -> NewRun {
    NewRun {
        deadline: Some(Duration::ZERO),
        ..new_run("acme")
    }
}

async fn a_queued_run_past_its_deadline_is_failed(f: &Fixture) {
    let run = f.accept(late_run()).await;
    let closed = f.upkeep.expire_deadlines(10).await.unwrap();
    let [closed] = &*closed else { panic!("{closed:?}") };
    assert_eq!((closed.run, closed.entry.cursor), (run, Cursor::new(1, 1)));
    assert_eq!(f.whole_log(run).await.last(), Some(&closed.entry));
    let Event::RunFailed(failed) = closed.entry.event().unwrap() else {
        panic!("{closed:?}")
    };
    assert_eq!(
        (failed.code, failed.retryable),
        (FailureCode::DeadlineExceeded, false)
    );
    let record = f.record(run).await;
    let ended = f.ended(run).await;
    assert_eq!((record.status, record.epoch), (Status::Failed, 1));
    assert_eq!(record.finished_at, Some(ended.finished_at));
    assert_eq!(
        ended.result.failure.map(|failure| failure.code),
        Some(FailureCode::DeadlineExceeded)
    );
    assert!(f.upkeep.expire_deadlines(10).await.unwrap().is_empty());
}

async fn running_runs_and_later_deadlines_are_left_alone(f: &Fixture) {
    let (_, running) = f
        .holder(NewRun {
            deadline: Some(LONG),
            ..new_run("acme")
        })
        .await;
    f.let_deadlines_pass().await;
    let later = f
        .accept(NewRun {
            deadline: Some(LONG),
            ..new_run("acme")
        })
        .await;
    let without = f.accept(new_run("acme")).await;
    assert!(f.upkeep.expire_deadlines(10).await.unwrap().is_empty());
    assert_eq!(f.record(running.id).await.status, Status::Running);
    assert_eq!(f.record(later).await.status, Status::Queued);
    assert_eq!(f.record(without).await.status, Status::Queued);
}

async fn deadlines_are_worked_off_in_portions(f: &Fixture) {
    for _ in 0..5 {
        f.accept(late_run()).await;
    }
    for expected in [2, 2, 1, 0] {
        assert_eq!(f.upkeep.expire_deadlines(2).await.unwrap().len(), expected);
    }
}

async fn a_reaped_run_past_its_deadline_is_failed_by_the_deadline_duty(f: &Fixture) {
    let (worker, claimed) = f
        .holder(NewRun {
            deadline: Some(LONG),
            ..new_run("acme")
        })
        .await;
    f.let_deadlines_pass().await;
    f.upkeep.reap(worker, 10, false).await.unwrap();
    assert_eq!(f.record(claimed.id).await.status, Status::Queued);
    assert_eq!(f.upkeep.expire_deadlines(10).await.unwrap().len(), 1);
    assert_eq!(
        f.ended(claimed.id)
            .await
            .result
            .failure
            .map(|failure| failure.code),
        Some(FailureCode::DeadlineExceeded)
    );
}
