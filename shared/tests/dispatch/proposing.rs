//! What is proposed, and what is not.

use std::collections::HashSet;
use std::time::Duration;

use shared::dispatch::Hint;
use shared::domain::{Class, RequeueReason, RunId};
use shared::ledger::NewRun;

use crate::fixture::{LONG, new_run, requeue};
use crate::stage::Stage;

crate::contract!(
    nothing_queued_is_nothing_proposed,
    a_hint_says_what_can_be_claimed,
    a_run_that_was_never_offered_is_proposed,
    offers_of_what_is_not_there_are_harmless,
    offers_may_come_twice,
    no_more_than_asked_for,
    no_run_twice_in_one_answer,
    oldest_first_inside_a_tenant,
    what_cannot_be_claimed_leads_to_nothing,
    a_delayed_run_is_proposed_once_it_is_due,
    a_tenant_at_its_limit_does_not_block_others,
    what_was_proposed_and_not_claimed_is_proposed_again,
    two_processes_empty_the_queue_together,
    an_idle_proposer_finds_what_is_offered;
    ledger:
    the_ledger_proposes_nothing_that_cannot_be_claimed,
);

fn ids(hints: &[Hint]) -> Vec<RunId> {
    hints.iter().map(|hint| hint.run).collect()
}

fn of_class(class: Class, tenant: &str) -> NewRun {
    NewRun {
        class,
        ..new_run(tenant)
    }
}

async fn nothing_queued_is_nothing_proposed(s: &Stage<'_>) {
    let process = s.process(8).await;
    assert_eq!(process.propose(8).await, []);
    assert_eq!(process.propose_within(8, Some(2)).await, []);
}

async fn a_hint_says_what_can_be_claimed(s: &Stage<'_>) {
    let run = of_class(Class::Batch, "acme");
    s.submit(std::slice::from_ref(&run)).await;
    let mut process = s.process(8).await;
    let hint = Hint {
        run: run.id,
        epoch: 0,
        tenant: run.tenant,
        class: Class::Batch,
        delay: Duration::ZERO,
    };
    let hints = process.propose(8).await;
    assert_eq!(hints, [hint]);
    assert_eq!(process.claim(&hints).await, hints);
}

async fn a_run_that_was_never_offered_is_proposed(s: &Stage<'_>) {
    let process = s.process(8).await;
    // The queue was seen empty, and nobody says that it no longer is.
    assert_eq!(process.propose(8).await, []);
    let run = s.accept(new_run("acme")).await;
    loop {
        let hints = process.propose(8).await;
        if !hints.is_empty() {
            assert_eq!(ids(&hints), [run]);
            break;
        }
        process.dispatch.propose.ready().await;
    }
}

async fn offers_of_what_is_not_there_are_harmless(s: &Stage<'_>) {
    let mut process = s.process(8).await;
    s.offer(&[new_run("acme"), new_run("beta")]).await;
    let run = s.submit(&[new_run("acme")]).await;
    let ended = s.submit(&[new_run("beta")]).await;
    s.submit.cancel(ended[0], "client").await.unwrap();
    let mut granted = Vec::new();
    while granted.is_empty() {
        let hints = process.propose(8).await;
        granted = process.claim(&hints).await;
    }
    assert_eq!(ids(&granted), run);
    let rest = process.propose(8).await;
    assert_eq!(process.claim(&rest).await, []);
}

async fn offers_may_come_twice(s: &Stage<'_>) {
    let mut process = s.process(8).await;
    let run = new_run("acme");
    s.submit(std::slice::from_ref(&run)).await;
    s.offer(std::slice::from_ref(&run)).await;
    s.offer(&[run.clone(), run.clone()]).await;
    let hints = process.propose(8).await;
    assert_eq!(ids(&hints), [run.id]);
    assert_eq!(process.claim(&hints).await.len(), 1);
    // Also after it was claimed.
    s.offer(&[run]).await;
    let rest = process.propose(8).await;
    assert_eq!(process.claim(&rest).await, []);
}

async fn no_more_than_asked_for(s: &Stage<'_>) {
    for tenant in ["acme", "beta", "zeta"] {
        let runs: Vec<NewRun> = Class::ALL
            .iter()
            .flat_map(|class| [of_class(*class, tenant), of_class(*class, tenant)])
            .collect();
        s.submit(&runs).await;
    }
    for limit in [0, 1, 2, 3, 7, 17] {
        assert_eq!(s.process(64).await.look(limit).await.len(), limit);
    }
    assert_eq!(s.process(64).await.look(18).await.len(), 18);
    assert_eq!(s.process(64).await.look(64).await.len(), 18);
}

async fn no_run_twice_in_one_answer(s: &Stage<'_>) {
    let mut runs = Vec::new();
    for (tenant, count) in [("acme", 90), ("beta", 1), ("c-d", 7), ("c_d", 30), ("zeta", 2)] {
        for class in Class::ALL {
            runs.extend((0..count).map(|_| of_class(class, tenant)));
        }
    }
    s.submit(&runs).await;
    // The ring is somewhere in the middle, and asked for less, as much and more than there is.
    let mut process = s.process(1_000).await;
    for limit in [5, 64, 130, 390, 1_000] {
        for tenant_limit in [None, Some(40), Some(200)] {
            let hints = process.look_within(limit, tenant_limit).await;
            let unique: HashSet<RunId> = ids(&hints).into_iter().collect();
            assert_eq!(unique.len(), hints.len());
            assert!(!hints.is_empty());
        }
    }
    let some = process.propose(7).await;
    process.claim(&some).await;
    let rest: HashSet<RunId> = ids(&process.propose(1_000).await).into_iter().collect();
    assert!(some.iter().all(|hint| !rest.contains(&hint.run)));
}

async fn oldest_first_inside_a_tenant(s: &Stage<'_>) {
    let mut accepted = Vec::new();
    for _ in 0..6 {
        accepted.extend(s.submit(&[new_run("acme")]).await);
    }
    assert_eq!(ids(&s.process(8).await.look(6).await), accepted);
    let mut process = s.process(8).await;
    for run in accepted {
        let next = process.propose(1).await;
        assert_eq!(ids(&process.claim(&next).await), [run]);
    }
}

/// Runs that nobody may claim now: one that runs, one that is put off, one cancelled and one past its deadline.
async fn unclaimable(s: &Stage<'_>) -> [RunId; 4] {
    let (worker, held) = s.holder(new_run("acme")).await;
    let (_, running) = s.holder(new_run("acme")).await;
    let later = held.started.at.plus(LONG);
    s.append(worker, requeue(&held, 2, RequeueReason::ProviderFailed, later))
        .await;
    let cancelled = s.submit(&[new_run("acme")]).await[0];
    s.submit.cancel(cancelled, "client").await.unwrap();
    let expired = NewRun {
        deadline: Some(Duration::from_secs(60)),
        ..new_run("acme")
    };
    s.submit(std::slice::from_ref(&expired)).await;
    s.let_deadlines_pass().await;
    [running.id, held.id, cancelled, expired.id]
}

async fn what_cannot_be_claimed_leads_to_nothing(s: &Stage<'_>) {
    let unclaimable = unclaimable(s).await;
    let mut process = s.process(8).await;
    // A hint may be out of date when it is proposed, but then it leads to nothing, and is not proposed again.
    let stale = process.propose(8).await;
    assert_eq!(process.claim(&stale).await, []);
    assert_eq!(process.propose(8).await, []);
    // And they hide nothing, however few are asked for.
    let fine = s.submit(&[new_run("acme")]).await;
    let hints = process.propose(1).await;
    assert_eq!(ids(&hints), fine);
    assert!(!unclaimable.contains(&hints[0].run));
    assert_eq!(process.claim(&hints).await, hints);
}

async fn the_ledger_proposes_nothing_that_cannot_be_claimed(s: &Stage<'_>) {
    unclaimable(s).await;
    assert_eq!(s.process(8).await.propose(8).await, []);
}

async fn a_delayed_run_is_proposed_once_it_is_due(s: &Stage<'_>) {
    let (worker, held) = s.holder(new_run("acme")).await;
    let soon = s
        .record(held.id)
        .await
        .claimed_at
        .unwrap()
        .plus(Duration::from_millis(300));
    s.append(worker, requeue(&held, 2, RequeueReason::ProviderFailed, soon))
        .await;
    let mut process = s.process(8).await;
    // Nobody says when it is due. What is proposed too early would not be granted.
    loop {
        let hints = process.propose(8).await;
        if !hints.is_empty() {
            assert_eq!(ids(&hints), [held.id]);
            assert_eq!(process.claim(&hints).await, hints);
            break;
        }
        process.dispatch.propose.ready().await;
    }
}

async fn a_tenant_at_its_limit_does_not_block_others(s: &Stage<'_>) {
    let crowd: Vec<NewRun> = (0..20).map(|_| new_run("acme")).collect();
    s.submit(&crowd).await;
    let mut process = s.process(64).await;
    let first = process.propose_within(10, Some(2)).await;
    assert_eq!(process.claim_within(&first, Some(2)).await.len(), 2);
    assert_eq!(process.propose_within(10, Some(2)).await, []);
    let others = s.submit(&[new_run("aa"), new_run("zeta")]).await;
    let next = process.propose_within(10, Some(2)).await;
    assert_eq!(
        ids(&next).into_iter().collect::<HashSet<_>>(),
        others.into_iter().collect()
    );
    assert_eq!(process.claim_within(&next, Some(2)).await.len(), 2);
    // Room again is work again.
    process.finish_one().await;
    let again = process.propose_within(10, Some(2)).await;
    assert_eq!(process.claim_within(&again, Some(2)).await.len(), 1);
    assert_eq!(again[0].tenant.as_str(), "acme");
}

async fn what_was_proposed_and_not_claimed_is_proposed_again(s: &Stage<'_>) {
    let runs = s.submit(&[new_run("acme"), new_run("beta")]).await;
    let process = s.process(8).await;
    for _ in 0..3 {
        let hints: HashSet<RunId> = ids(&process.look(8).await).into_iter().collect();
        assert_eq!(hints, runs.iter().copied().collect());
    }
}

async fn two_processes_empty_the_queue_together(s: &Stage<'_>) {
    let mut runs = Vec::new();
    for n in 0..300 {
        runs.push(of_class(Class::ALL[n % 3], &format!("t{}", n % 7)));
    }
    let accepted: HashSet<RunId> = s.submit(&runs).await.into_iter().collect();
    let work = async || {
        let mut process = s.process(1_000).await;
        let mut done = Vec::new();
        loop {
            let hints = process.propose(8).await;
            if hints.is_empty() {
                return done;
            }
            done.extend(ids(&process.claim(&hints).await));
        }
    };
    let (one, other) = tokio::join!(work(), work());
    assert_eq!(one.len() + other.len(), runs.len(), "each run is claimed once");
    assert_eq!(one.into_iter().chain(other).collect::<HashSet<_>>(), accepted);
}

async fn an_idle_proposer_finds_what_is_offered(s: &Stage<'_>) {
    let process = s.process(1).await;
    let proposed = async {
        loop {
            if let Some(hint) = process.propose(1).await.pop() {
                break hint.run;
            }
            process.dispatch.propose.ready().await;
        }
    };
    let submitted = async { s.submit(&[new_run("acme")]).await[0] };
    let (proposed, submitted) = tokio::join!(proposed, submitted);
    assert_eq!(proposed, submitted);
}
