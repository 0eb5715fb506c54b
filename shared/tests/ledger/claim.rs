//! `Execute::claim`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use shared::domain::{Class, Cursor, Interruption, RequeueReason, RunId, Status, Timestamp};
use shared::ledger::{Claimed, NewRun, Then, Write};

use crate::fixture::{Fixture, LONG, new_run, output, requeue, success};

crate::contract!(
    a_claim_mints_an_epoch_and_commits_its_first_entry,
    a_simulated_run_says_so_in_its_attempt,
    a_claim_tells_what_is_left_until_the_deadline,
    stale_hints_do_not_come_back,
    a_run_proposed_twice_is_claimed_once,
    a_claim_of_nothing_claims_nothing,
    a_second_attempt_counts_and_rewinds_output,
    a_second_attempt_without_output_rewinds_nothing,
    only_provider_failures_count_as_retries,
    until_when_it_waits_is_told_by_who_gave_it_back,
    whose_worker_died_waits_for_nobody,
    a_tenant_never_runs_more_than_its_limit,
    a_place_comes_back_when_a_run_ends,
    concurrent_workers_share_a_proposal,
    a_tenant_limit_holds_under_concurrent_claims,
);

const PAST: Timestamp = Timestamp::from_millis(0);

async fn a_claim_mints_an_epoch_and_commits_its_first_entry(f: &Fixture) {
    let run = NewRun {
        class: Class::Batch,
        task_type: "code".to_owned(),
        on_interruption: Interruption::Fail,
        trace_parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..new_run("acme")
    };
    let (worker, claimed) = f.holder(run.clone()).await;
    assert_eq!(
        (claimed.id, claimed.kind, &claimed.tenant),
        (run.id, run.kind, &run.tenant)
    );
    assert_eq!((claimed.class, &claimed.task_type), (run.class, &run.task_type));
    assert_eq!((claimed.epoch, claimed.retries, claimed.deadline), (1, 0, None));
    assert_eq!(
        (claimed.on_interruption, claimed.simulated),
        (run.on_interruption, false)
    );
    assert_eq!(
        (&claimed.spec, &claimed.trace_parent),
        (&run.spec, &run.trace_parent)
    );

    assert_eq!(claimed.started.cursor, Cursor::new(1, 1));
    assert_eq!(
        &*claimed.started.data,
        format!(r#"{{"attempt":1,"worker":"{worker}"}}"#)
    );
    assert_eq!(f.whole_log(run.id).await.last(), Some(&claimed.started));

    let record = f.record(run.id).await;
    assert_eq!(
        (record.status, record.epoch, record.attempts),
        (Status::Running, 1, 1)
    );
    assert_eq!(
        (record.worker, record.claimed_at),
        (Some(worker), Some(claimed.started.at))
    );
    assert_eq!(record.created_at, claimed.created_at);
}

async fn a_simulated_run_says_so_in_its_attempt(f: &Fixture) {
    let (worker, claimed) = f
        .holder(NewRun {
            simulated: true,
            ..new_run("acme")
        })
        .await;
    assert!(claimed.simulated);
    assert_eq!(
        &*claimed.started.data,
        format!(r#"{{"attempt":1,"worker":"{worker}","simulated":true}}"#)
    );
}

async fn a_claim_tells_what_is_left_until_the_deadline(f: &Fixture) {
    let (_, claimed) = f
        .holder(NewRun {
            deadline: Some(LONG),
            ..new_run("acme")
        })
        .await;
    let waited = claimed.started.at.since(claimed.created_at);
    assert_eq!(claimed.deadline, Some(LONG - waited));
}

async fn stale_hints_do_not_come_back(f: &Fixture) {
    let worker = f.worker().await;
    let ready = f.accept(new_run("acme")).await;
    let (_, taken) = f.holder(new_run("acme")).await;
    let cancelled = f.accept(new_run("acme")).await;
    f.submit.cancel(cancelled, "client").await.unwrap();
    let late = f
        .accept(NewRun {
            deadline: Some(Duration::ZERO),
            ..new_run("acme")
        })
        .await;
    let (holder, ended) = f.holder(new_run("acme")).await;
    f.append(holder, success(&ended, 2)).await;
    let (holder, delayed) = f.holder(new_run("acme")).await;
    let later = delayed.started.at.plus(LONG);
    f.append(holder, requeue(&delayed, 2, RequeueReason::ProviderFailed, later))
        .await;

    let proposal = [
        taken.id,
        cancelled,
        late,
        ended.id,
        delayed.id,
        RunId::new(),
        ready,
    ];
    let claimed = f.execute.claim(worker, &proposal, None).await.unwrap();
    let claimed: Vec<RunId> = claimed.iter().map(|claimed| claimed.id).collect();
    assert_eq!(claimed, [ready]);
    assert_eq!(f.record(delayed.id).await.not_before, later);
    assert_eq!(f.record(taken.id).await.epoch, 1);
}

async fn a_run_proposed_twice_is_claimed_once(f: &Fixture) {
    let worker = f.worker().await;
    let runs = f.accept_many("acme", 2).await;
    let claimed = f
        .execute
        .claim(worker, &[runs[0], runs[0], runs[1], runs[0]], Some(2))
        .await
        .unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(
        f.outline(runs[0]).await,
        ["0-1 run.queued", "1-1 attempt.started"]
    );
}

async fn a_claim_of_nothing_claims_nothing(f: &Fixture) {
    let worker = f.worker().await;
    f.accept(new_run("acme")).await;
    assert!(f.execute.claim(worker, &[], None).await.unwrap().is_empty());
}

async fn a_second_attempt_counts_and_rewinds_output(f: &Fixture) {
    let (worker, first) = f.holder(new_run("acme")).await;
    f.append(worker, output(&first, 2, "void")).await;
    f.append(worker, requeue(&first, 3, RequeueReason::Released, PAST))
        .await;
    let second = f.claim(worker, first.id).await;
    assert_eq!(second.epoch, 3);
    assert_eq!(
        &*second.started.data,
        format!(r#"{{"attempt":2,"worker":"{worker}","void_after":"0-1"}}"#)
    );
    assert_eq!(f.record(first.id).await.attempts, 2);
    assert_eq!(
        f.outline(first.id).await,
        [
            "0-1 run.queued",
            "1-1 attempt.started",
            "1-2 output.delta",
            "1-3 run.requeued",
            "3-1 attempt.started"
        ]
    );
}

async fn a_second_attempt_without_output_rewinds_nothing(f: &Fixture) {
    let (worker, first) = f.holder(new_run("acme")).await;
    f.append(worker, requeue(&first, 2, RequeueReason::Released, PAST))
        .await;
    let second = f.claim(worker, first.id).await;
    assert_eq!(
        &*second.started.data,
        format!(r#"{{"attempt":2,"worker":"{worker}"}}"#)
    );
}

async fn only_provider_failures_count_as_retries(f: &Fixture) {
    let (worker, mut claimed) = f.holder(new_run("acme")).await;
    let reasons = [
        (RequeueReason::ProviderFailed, 1),
        (RequeueReason::Released, 1),
        (RequeueReason::ProviderFailed, 2),
    ];
    for (reason, retries) in reasons {
        f.append(worker, requeue(&claimed, 2, reason, PAST)).await;
        claimed = f.claim(worker, claimed.id).await;
        assert_eq!(claimed.retries, retries);
    }
}

/// A run goes back to the queue, and waits for providers until then.
fn waiting(claimed: &Claimed, until: Option<Timestamp>) -> Write {
    let mut write = requeue(claimed, 2, RequeueReason::NoProvider, PAST);
    if let Then::Requeue { waits_until, .. } = &mut write.then {
        *waits_until = until;
    }
    write
}

async fn until_when_it_waits_is_told_by_who_gave_it_back(f: &Fixture) {
    let (worker, mut claimed) = f.holder(new_run("acme")).await;
    assert_eq!(claimed.waits_until, None);
    for until in [Some(Timestamp::from_millis(4_000)), Some(PAST), None] {
        f.append(worker, waiting(&claimed, until)).await;
        claimed = f.claim(worker, claimed.id).await;
        assert_eq!(claimed.waits_until, until);
    }
}

async fn whose_worker_died_waits_for_nobody(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, waiting(&claimed, Some(Timestamp::from_millis(4_000))))
        .await;
    let claimed = f.claim(worker, claimed.id).await;
    f.upkeep.reap(worker, 10, false).await.unwrap();
    let claimed = f.claim(f.worker().await, claimed.id).await;
    assert_eq!(claimed.waits_until, None);
}

async fn a_tenant_never_runs_more_than_its_limit(f: &Fixture) {
    let worker = f.worker().await;
    let acme = f.accept_many("acme", 5).await;
    let beta = f.accept_many("beta", 1).await;
    let proposal = [acme.clone(), beta.clone()].concat();
    let claimed = f.execute.claim(worker, &proposal, Some(2)).await.unwrap();
    let ids: HashSet<RunId> = claimed.iter().map(|claimed| claimed.id).collect();
    assert_eq!(ids, HashSet::from([acme[0], acme[1], beta[0]]));
    // Also another worker's claims count.
    let other = f.worker().await;
    assert!(f.execute.claim(other, &acme, Some(2)).await.unwrap().is_empty());
    assert_eq!(f.execute.claim(other, &acme, Some(3)).await.unwrap().len(), 1);
    assert_eq!(f.execute.claim(other, &acme, None).await.unwrap().len(), 2);
    assert_eq!(f.record(acme[4]).await.status, Status::Running);
}

async fn a_place_comes_back_when_a_run_ends(f: &Fixture) {
    let worker = f.worker().await;
    let runs = f.accept_many("acme", 2).await;
    let claimed = f.execute.claim(worker, &runs, Some(1)).await.unwrap().remove(0);
    assert!(f.execute.claim(worker, &runs, Some(1)).await.unwrap().is_empty());
    f.append(worker, success(&claimed, 2)).await;
    assert_eq!(f.execute.claim(worker, &runs, Some(1)).await.unwrap().len(), 1);
}

/// Four workers try to claim the same runs at once; what each got.
async fn claim_at_once(f: &Fixture, proposal: &[RunId], tenant_limit: Option<u32>) -> Vec<RunId> {
    let mut claims = Vec::new();
    for _ in 0..4 {
        let worker = f.worker().await;
        for part in proposal.chunks(50) {
            let (execute, part) = (f.execute.clone(), part.to_vec());
            claims.push(tokio::spawn(async move {
                execute.claim(worker, &part, tenant_limit).await.unwrap()
            }));
        }
    }
    let mut claimed = Vec::new();
    for claim in claims {
        claimed.extend(claim.await.unwrap().into_iter().map(|claimed| claimed.id));
    }
    claimed
}

async fn concurrent_workers_share_a_proposal(f: &Fixture) {
    let runs = f.accept_many("acme", 200).await;
    let claimed = claim_at_once(f, &runs, None).await;
    let unique: HashSet<RunId> = claimed.iter().copied().collect();
    assert_eq!((claimed.len(), unique.len()), (200, 200));
    let once = "SELECT count(*) AS n FROM mcp_event WHERE type = 'attempt.started' AND epoch = 1";
    assert_eq!(f.count(once).await, 200);
}

async fn a_tenant_limit_holds_under_concurrent_claims(f: &Fixture) {
    let acme = f.accept_many("acme", 100).await;
    let beta = f.accept_many("beta", 100).await;
    let proposal: Vec<RunId> = acme.iter().zip(&beta).flat_map(|(a, b)| [*a, *b]).collect();
    let claimed = claim_at_once(f, &proposal, Some(7)).await;
    let mut running: HashMap<bool, u32> = HashMap::new();
    for run in &claimed {
        *running.entry(acme.contains(run)).or_default() += 1;
    }
    assert!(running.values().all(|runs| *runs <= 7), "{running:?}");
    // Nothing is lost by the race either: what is missing to the limit can still be claimed, and no more.
    let worker = f.worker().await;
    f.execute.claim(worker, &proposal, Some(7)).await.unwrap();
    for tenant in ["acme", "beta"] {
        let sql =
            format!("SELECT count(*) AS n FROM mcp_request WHERE status = 'running' AND tenant = '{tenant}'");
        assert_eq!(f.count(&sql).await, 7);
    }
}
