//! `Backlog::ready`.

use std::collections::HashSet;
use std::time::Duration;

use shared::domain::{Class, RequeueReason, RunId, Timestamp};
use shared::ledger::{NewRun, ReadyRun};

use crate::fixture::{Fixture, LONG, new_run, requeue, tenant};

crate::contract!(
    nothing_queued_is_nothing_ready,
    a_ready_run_comes_with_its_epoch_and_tenant,
    only_what_could_be_claimed_now_is_ready,
    each_class_has_a_queue_of_its_own,
    oldest_first_inside_a_tenant,
    tenants_take_turns,
    tenants_go_round_from_the_one_after_the_last,
    with_many_tenants_each_gives_one,
    a_tenant_at_its_limit_is_passed_over,
    no_more_than_its_room_is_proposed_of_a_tenant,
    tenants_without_ready_runs_do_not_hide_others,
    a_proposal_changes_nothing,
    nothing_is_asked_nothing_is_given,
);

/// The next proposal of class `standard`.
async fn ready(f: &Fixture, after: Option<&str>, limit: u32, tenant_limit: Option<u32>) -> Vec<ReadyRun> {
    let after = after.map(tenant);
    f.backlog
        .ready(Class::Standard, after.as_ref(), limit, tenant_limit)
        .await
        .unwrap()
}

fn tenants(runs: &[ReadyRun]) -> Vec<&str> {
    runs.iter().map(|run| run.tenant.as_str()).collect()
}

fn ids(runs: &[ReadyRun]) -> Vec<RunId> {
    runs.iter().map(|run| run.run).collect()
}

async fn nothing_queued_is_nothing_ready(f: &Fixture) {
    f.holder(new_run("acme")).await;
    assert!(ready(f, None, 10, None).await.is_empty());
    assert!(ready(f, Some("acme"), 10, Some(5)).await.is_empty());
}

async fn a_ready_run_comes_with_its_epoch_and_tenant(f: &Fixture) {
    let fresh = f.accept(new_run("acme")).await;
    assert_eq!(
        ready(f, None, 10, None).await,
        [ReadyRun {
            run: fresh,
            epoch: 0,
            tenant: tenant("acme")
        }]
    );
    let worker = f.worker().await;
    let claimed = f.claim(worker, fresh).await;
    f.append(
        worker,
        requeue(&claimed, 2, RequeueReason::Released, Timestamp::from_millis(0)),
    )
    .await;
    assert_eq!(
        ready(f, None, 10, None).await,
        [ReadyRun {
            run: fresh,
            epoch: 2,
            tenant: tenant("acme")
        }]
    );
}

async fn only_what_could_be_claimed_now_is_ready(f: &Fixture) {
    let (worker, delayed) = f.holder(new_run("acme")).await;
    let later = delayed.started.at.plus(LONG);
    f.append(worker, requeue(&delayed, 2, RequeueReason::ProviderFailed, later))
        .await;
    let cancelled = f.accept(new_run("acme")).await;
    f.submit.cancel(cancelled, "client").await.unwrap();
    f.accept(NewRun {
        deadline: Some(Duration::ZERO),
        ..new_run("acme")
    })
    .await;
    f.holder(new_run("acme")).await;
    assert!(ready(f, None, 10, None).await.is_empty());
    let in_time = f
        .accept(NewRun {
            deadline: Some(LONG),
            ..new_run("acme")
        })
        .await;
    assert_eq!(ids(&ready(f, None, 10, None).await), [in_time]);
}

async fn each_class_has_a_queue_of_its_own(f: &Fixture) {
    for class in Class::ALL {
        let run = f
            .accept(NewRun {
                class,
                ..new_run("acme")
            })
            .await;
        let proposal = f.backlog.ready(class, None, 10, None).await.unwrap();
        assert_eq!(ids(&proposal), [run]);
    }
}

async fn oldest_first_inside_a_tenant(f: &Fixture) {
    let first = f.accept_many("acme", 3).await;
    let second = f.accept_many("acme", 3).await;
    let proposal = ids(&ready(f, None, 6, None).await);
    let in_order: HashSet<RunId> = first.into_iter().collect();
    assert_eq!(proposal.len(), 6);
    assert_eq!(proposal[..3].iter().copied().collect::<HashSet<_>>(), in_order);
    assert!(proposal[3..].iter().all(|run| second.contains(run)));
    assert_eq!(ids(&ready(f, None, 2, None).await), proposal[..2]);
}

async fn tenants_take_turns(f: &Fixture) {
    f.accept_many("acme", 10).await;
    f.accept_many("beta", 2).await;
    f.accept_many("zeta", 10).await;
    let proposal = ready(f, None, 8, None).await;
    assert_eq!(
        tenants(&proposal)[..6],
        ["acme", "beta", "zeta", "acme", "beta", "zeta"]
    );
    let unique: HashSet<RunId> = ids(&proposal).into_iter().collect();
    assert_eq!(unique.len(), proposal.len());
    assert!(proposal.len() <= 8);
}

async fn tenants_go_round_from_the_one_after_the_last(f: &Fixture) {
    for name in ["acme", "beta", "c-d", "c_d", "zeta"] {
        f.accept(new_run(name)).await;
    }
    for (after, expected) in [
        (None, ["acme", "beta", "c-d", "c_d", "zeta"]),
        (Some("acme"), ["beta", "c-d", "c_d", "zeta", "acme"]),
        (Some("c-d"), ["c_d", "zeta", "acme", "beta", "c-d"]),
        (Some("c"), ["c-d", "c_d", "zeta", "acme", "beta"]),
        (Some("zeta"), ["acme", "beta", "c-d", "c_d", "zeta"]),
        (Some("zz"), ["acme", "beta", "c-d", "c_d", "zeta"]),
    ] {
        assert_eq!(
            tenants(&ready(f, after, 5, None).await),
            expected,
            "after {after:?}"
        );
        assert_eq!(
            tenants(&ready(f, after, 2, None).await),
            expected[..2],
            "two after {after:?}"
        );
    }
}

async fn with_many_tenants_each_gives_one(f: &Fixture) {
    let names: Vec<String> = (10..40).map(|n| format!("t{n}")).collect();
    let mut runs = Vec::new();
    for name in &names {
        runs.extend([new_run(name), new_run(name), new_run(name)]);
    }
    f.submit.accept(&runs).await.unwrap();
    let proposal = ready(f, Some("t34"), 20, None).await;
    let expected: Vec<&str> = names[25..]
        .iter()
        .chain(&names[..15])
        .map(String::as_str)
        .collect();
    assert_eq!(tenants(&proposal), expected);
}

async fn a_tenant_at_its_limit_is_passed_over(f: &Fixture) {
    f.holder(new_run("acme")).await;
    f.holder(new_run("acme")).await;
    f.accept_many("acme", 3).await;
    f.accept_many("beta", 1).await;
    assert_eq!(tenants(&ready(f, None, 1, Some(2)).await), ["beta"]);
    assert_eq!(tenants(&ready(f, None, 10, Some(2)).await), ["beta"]);
    assert_eq!(tenants(&ready(f, None, 2, Some(3)).await), ["acme", "beta"]);
}

async fn no_more_than_its_room_is_proposed_of_a_tenant(f: &Fixture) {
    f.holder(new_run("acme")).await;
    f.accept_many("acme", 10).await;
    assert_eq!(ready(f, None, 10, Some(4)).await.len(), 3);
}

/// None only when there are none, however few are asked for.
async fn tenants_without_ready_runs_do_not_hide_others(f: &Fixture) {
    let worker = f.worker().await;
    for n in 10..20 {
        let late = NewRun {
            deadline: Some(Duration::ZERO),
            ..new_run(&format!("late{n}"))
        };
        f.accept(late).await;
        let run = f.accept(new_run(&format!("slow{n}"))).await;
        let claimed = f.claim(worker, run).await;
        let later = claimed.started.at.plus(LONG);
        f.append(worker, requeue(&claimed, 2, RequeueReason::ProviderFailed, later))
            .await;
    }
    let run = f.accept(new_run("zeta")).await;
    assert_eq!(ids(&ready(f, None, 1, None).await), [run]);
    assert_eq!(ids(&ready(f, Some("zeta"), 1, Some(1)).await), [run]);
}

async fn a_proposal_changes_nothing(f: &Fixture) {
    let run = f.accept(new_run("acme")).await;
    let before = f.record(run).await;
    assert_eq!(ready(f, None, 10, None).await, ready(f, None, 10, None).await);
    assert_eq!(f.record(run).await, before);
    assert_eq!(f.outline(run).await, ["0-1 run.queued"]);
}

async fn nothing_is_asked_nothing_is_given(f: &Fixture) {
    f.accept(new_run("acme")).await;
    assert!(ready(f, None, 0, None).await.is_empty());
    assert!(ready(f, None, 10, Some(0)).await.is_empty());
}
