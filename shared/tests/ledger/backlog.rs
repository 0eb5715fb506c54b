//! `Backlog::ready`.

use std::collections::HashSet;
use std::time::Duration;

use shared::domain::{Class, RequeueReason, RunId, Timestamp};
use shared::ledger::{NewRun, QueuedRun, ReadyRun};

use crate::fixture::{Fixture, LONG, new_run, requeue, success, tenant};

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
    who_is_still_queued_is_told_with_what_it_waits_for,
    what_no_longer_waits_is_not_told,
    a_tenant_without_room_is_told,
    pages_show_the_whole_queue_once,
    a_page_begins_after_any_run_also_one_that_is_gone,
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

async fn who_is_still_queued_is_told_with_what_it_waits_for(f: &Fixture) {
    let fresh = f.accept(new_run("acme")).await;
    let (worker, delayed) = f.holder(new_run("beta")).await;
    let later = delayed.started.at.plus(LONG);
    f.append(worker, requeue(&delayed, 2, RequeueReason::ProviderFailed, later))
        .await;
    let unasked = f.accept(new_run("acme")).await;
    let mut queued = f
        .backlog
        .queued(&[delayed.id, fresh, RunId::new()], None)
        .await
        .unwrap();
    queued.sort_by_key(|queued| queued.run);
    let [due, waiting] = &queued[..] else {
        panic!("two of them are queued, and {unasked} was not asked about: {queued:?}")
    };
    assert_eq!((due.run, due.epoch, due.tenant.as_str()), (fresh, 0, "acme"));
    assert_eq!(
        (due.class, due.delay, due.full),
        (Class::Standard, Duration::ZERO, false)
    );
    assert_eq!(due.not_before, f.record(fresh).await.created_at);
    assert_eq!(
        (waiting.run, waiting.epoch, waiting.tenant.as_str()),
        (delayed.id, 2, "beta")
    );
    assert_eq!((waiting.not_before, waiting.full), (later, false));
    assert!(waiting.delay > LONG / 2 && waiting.delay <= LONG, "{waiting:?}");
    assert_eq!(f.backlog.queued(&[], None).await.unwrap(), []);
}

async fn what_no_longer_waits_is_not_told(f: &Fixture) {
    let (worker, ended) = f.holder(new_run("acme")).await;
    f.append(worker, success(&ended, 2)).await;
    let (_, running) = f.holder(new_run("acme")).await;
    let cancelled = f.accept(new_run("acme")).await;
    f.submit.cancel(cancelled, "client").await.unwrap();
    let expired = f
        .accept(NewRun {
            deadline: Some(Duration::from_secs(60)),
            ..new_run("acme")
        })
        .await;
    f.let_deadlines_pass().await;
    let asked = [running.id, ended.id, cancelled, expired];
    assert_eq!(f.backlog.queued(&asked, None).await.unwrap(), []);
    assert_eq!(f.backlog.page(None, 10).await.unwrap(), []);
}

async fn a_tenant_without_room_is_told(f: &Fixture) {
    f.holder(new_run("acme")).await;
    let runs = [f.accept(new_run("acme")).await, f.accept(new_run("beta")).await];
    for (tenant_limit, full) in [
        (None, [false; 2]),
        (Some(1), [true, false]),
        (Some(2), [false; 2]),
    ] {
        let mut queued = f.backlog.queued(&runs, tenant_limit).await.unwrap();
        queued.sort_by_key(|queued| queued.run);
        let told: Vec<bool> = queued.iter().map(|queued| queued.full).collect();
        assert_eq!(told, full, "{tenant_limit:?}");
    }
}

/// The whole queue in pages of this size.
async fn pages(f: &Fixture, limit: u32) -> Vec<QueuedRun> {
    let mut seen: Vec<QueuedRun> = Vec::new();
    loop {
        let page = f.backlog.page(seen.last(), limit).await.unwrap();
        let last = page.len() < limit as usize;
        seen.extend(page);
        if last {
            return seen;
        }
    }
}

async fn pages_show_the_whole_queue_once(f: &Fixture) {
    let mut runs = Vec::new();
    for name in ["acme", "a-b", "a_b", "beta"] {
        for class in Class::ALL {
            for _ in 0..3 {
                runs.push(
                    f.accept(NewRun {
                        class,
                        ..new_run(name)
                    })
                    .await,
                );
            }
        }
    }
    // Delayed runs are of the queue too.
    f.sql("UPDATE mcp_request SET not_before = not_before + 3600000 WHERE tenant = 'beta'")
        .await
        .unwrap();
    f.holder(new_run("acme")).await;
    let whole = pages(f, 1_000).await;
    let seen: HashSet<RunId> = whole.iter().map(|queued| queued.run).collect();
    assert_eq!(seen, runs.iter().copied().collect());
    assert_eq!(whole.len(), runs.len());
    let order = |run: &QueuedRun| (run.not_before, run.run);
    for neighbours in whole.windows(2) {
        let [a, b] = neighbours else { unreachable!() };
        assert!((a.class, &a.tenant) != (b.class, &b.tenant) || order(a) < order(b));
        assert_eq!(a.delay.is_zero(), a.tenant.as_str() != "beta");
    }
    let key = |run: &QueuedRun| (run.run, run.epoch, run.class, run.not_before);
    for limit in [1, 2, 5, 36] {
        let paged = pages(f, limit).await;
        assert!(
            paged.iter().map(key).eq(whole.iter().map(key)),
            "{limit} at a time"
        );
    }
}

async fn a_page_begins_after_any_run_also_one_that_is_gone(f: &Fixture) {
    for _ in 0..3 {
        f.accept(new_run("acme")).await;
    }
    let whole = pages(f, 10).await;
    f.submit.cancel(whole[1].run, "client").await.unwrap();
    let rest = f.backlog.page(Some(&whole[1]), 10).await.unwrap();
    assert_eq!(
        rest.iter().map(|queued| queued.run).collect::<Vec<_>>(),
        [whole[2].run]
    );
    assert_eq!(f.backlog.page(Some(&whole[2]), 10).await.unwrap(), []);
}
