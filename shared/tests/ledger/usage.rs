//! Calls of providers are accounted with the entries they belong to, or not at all.

use std::time::Duration;

use shared::domain::{
    CallOutcome, CallTokens, CostUnknown, FailureCode, Interruption, RequeueReason, Timestamp, UsageRecord,
    Usd, UserHash,
};
use shared::ledger::{AccountedCall, AnswerLength, NewRun, Spending, Write, WriteOutcome};

use crate::fixture::{Fixture, LONG, failed, new_run, output, requeue, success, tenant, until};

crate::contract!(
    calls_are_accounted_with_the_end_of_their_run,
    calls_are_accounted_while_the_run_goes_on,
    what_is_not_known_stays_so,
    calls_of_several_runs_go_to_their_own,
    a_fenced_write_accounts_nothing,
    a_dead_worker_accounts_nothing,
    a_refused_batch_accounts_nothing,
    a_run_that_was_cancelled_meanwhile_accounts_its_calls,
    accounting_outlives_the_run,
    spending_counts_what_is_known,
    lengths_are_of_complete_answers_by_task_type,
    lengths_are_of_the_newest_calls,
);

fn call(number: u32) -> UsageRecord {
    UsageRecord {
        call: number,
        provider: "openai".into(),
        model: "gpt-4o".into(),
        key: Some(1),
        outcome: CallOutcome::Succeeded,
        error: None,
        tokens: CallTokens {
            input: Some(1_000),
            output: Some(u64::from(u32::MAX) + 1),
            cached_input: Some(600),
            cache_write: Some(0),
            reasoning: Some(7),
        },
        cost: Ok(Usd::from_nanos(12_345)),
        estimated: false,
        first_token: Some(Duration::from_millis(321)),
        duration: Duration::from_millis(4_567),
        provider_request_id: Some("req_\"1\"".to_owned()),
        started_at: Timestamp::from_millis(1_700_000_000_001),
    }
}

/// A call of which hardly anything is known.
fn broken(number: u32) -> UsageRecord {
    UsageRecord {
        key: None,
        outcome: CallOutcome::Failed,
        error: Some(FailureCode::ProviderTimeout),
        tokens: CallTokens::default(),
        cost: Err(CostUnknown::NoUsage),
        estimated: true,
        first_token: None,
        provider_request_id: None,
        ..call(number)
    }
}

fn with(usage: Vec<UsageRecord>, write: Write) -> Write {
    Write { usage, ..write }
}

async fn calls(f: &Fixture, run: shared::domain::RunId) -> Vec<UsageRecord> {
    let accounted = f.reader.calls(run).await.unwrap();
    accounted.into_iter().map(|accounted| accounted.call).collect()
}

async fn calls_are_accounted_with_the_end_of_their_run(f: &Fixture) {
    let user = UserHash::from_digest(&[7]);
    let run = NewRun {
        user: Some(user.clone()),
        simulated: true,
        ..new_run("acme")
    };
    let (worker, claimed) = f.holder(run).await;
    let write = with(vec![broken(1), call(2)], success(&claimed, 2));
    assert_eq!(f.append(worker, write).await, WriteOutcome::Committed);
    let accounted = |call| AccountedCall {
        epoch: claimed.epoch,
        tenant: tenant("acme"),
        user: Some(user.clone()),
        simulated: true,
        call,
    };
    assert_eq!(
        f.reader.calls(claimed.id).await.unwrap(),
        [accounted(broken(1)), accounted(call(2))]
    );
}

async fn calls_are_accounted_while_the_run_goes_on(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let write = with(vec![broken(1)], output(&claimed, 2, "x"));
    assert_eq!(f.append(worker, write).await, WriteOutcome::Committed);
    assert_eq!(calls(f, claimed.id).await, [broken(1)]);
    // And again in a later epoch, counted anew.
    let back = requeue(&claimed, 3, RequeueReason::ProviderFailed, claimed.started.at);
    f.append(worker, with(vec![broken(2)], back)).await;
    let again = f.claim(worker, claimed.id).await;
    f.append(worker, with(vec![call(1)], success(&again, 2))).await;
    assert_eq!(calls(f, claimed.id).await, [broken(1), broken(2), call(1)]);
}

async fn what_is_not_known_stays_so(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let free = UsageRecord {
        cost: Ok(Usd::from_nanos(0)),
        ..call(1)
    };
    let unpriced = UsageRecord {
        cost: Err(CostUnknown::NoPrice),
        outcome: CallOutcome::Hedged,
        ..call(2)
    };
    let given_up = UsageRecord {
        outcome: CallOutcome::Cancelled,
        error: None,
        ..broken(3)
    };
    let all = vec![free, unpriced, given_up];
    f.append(worker, with(all.clone(), failed(&claimed, 2))).await;
    assert_eq!(calls(f, claimed.id).await, all);
    assert_eq!(
        f.count("SELECT count(*) AS n FROM mcp_usage WHERE cost_nanousd IS NULL")
            .await,
        2
    );
}

async fn calls_of_several_runs_go_to_their_own(f: &Fixture) {
    let worker = f.worker().await;
    let mut claimed = Vec::new();
    for name in ["acme", "beta", "gamma"] {
        let run = f.accept(new_run(name)).await;
        claimed.push(f.claim(worker, run).await);
    }
    let writes = [
        with(vec![call(1)], success(&claimed[0], 2)),
        output(&claimed[1], 2, "x"),
        with(vec![call(1), call(2)], output(&claimed[2], 2, "x")),
    ];
    f.execute.append(worker, &writes).await.unwrap();
    for (claimed, expected) in claimed
        .iter()
        .zip([vec![call(1)], vec![], vec![call(1), call(2)]])
    {
        assert_eq!(calls(f, claimed.id).await, expected, "{}", claimed.tenant);
    }
}

async fn a_fenced_write_accounts_nothing(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let (other, fine) = f.holder(new_run("acme")).await;
    let stranger = with(vec![call(1)], success(&claimed, 2));
    let own = with(vec![call(1)], success(&fine, 2));
    let outcomes = f.execute.append(other, &[stranger, own]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Fenced, WriteOutcome::Committed]);
    let stale = Write {
        epoch: claimed.epoch + 1,
        ..with(vec![call(1)], output(&claimed, 2, "x"))
    };
    assert_eq!(f.append(worker, stale).await, WriteOutcome::Fenced);
    assert!(calls(f, claimed.id).await.is_empty());
    assert_eq!(calls(f, fine.id).await.len(), 1);
}

async fn a_dead_worker_accounts_nothing(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.let_lapse(worker).await;
    f.upkeep.reap(worker, 10, true).await.unwrap();
    let zombie = with(vec![call(1)], success(&claimed, 2));
    assert_eq!(f.append(worker, zombie).await, WriteOutcome::Fenced);
    assert!(calls(f, claimed.id).await.is_empty());
}

async fn a_refused_batch_accounts_nothing(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let nul = UsageRecord {
        provider_request_id: Some("a\0b".to_owned()),
        ..call(2)
    };
    let unsaid = UsageRecord {
        outcome: CallOutcome::Failed,
        ..call(2)
    };
    let nameless = UsageRecord {
        provider: "".into(),
        ..call(2)
    };
    for bad in [nul, unsaid, nameless, call(1)] {
        let write = with(vec![call(1), bad.clone()], success(&claimed, 2));
        let refused = f.execute.append(worker, &[write]).await;
        assert!(
            refused.as_ref().is_err_and(|error| !error.is_unavailable()),
            "{bad:?}: {refused:?}"
        );
        assert!(calls(f, claimed.id).await.is_empty(), "{bad:?}");
        assert_eq!(f.outline(claimed.id).await.len(), 2, "{bad:?}");
    }
    let good = with(vec![call(1)], success(&claimed, 2));
    assert_eq!(f.append(worker, good).await, WriteOutcome::Committed);
}

async fn a_run_that_was_cancelled_meanwhile_accounts_its_calls(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.submit.cancel(claimed.id, "client").await.unwrap();
    let back = requeue(&claimed, 2, RequeueReason::ProviderFailed, claimed.started.at);
    let outcome = f.append(worker, with(vec![broken(1)], back)).await;
    assert!(matches!(outcome, WriteOutcome::Overtaken(_)), "{outcome:?}");
    assert_eq!(calls(f, claimed.id).await, [broken(1)]);
}

async fn accounting_outlives_the_run(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, with(vec![call(1)], success(&claimed, 2))).await;
    until(async || f.upkeep.forget(Duration::ZERO, 10).await.unwrap() == 1).await;
    assert!(f.reader.run(claimed.id).await.unwrap().is_none());
    assert_eq!(calls(f, claimed.id).await, [call(1)]);
}

async fn spending_counts_what_is_known(f: &Fixture) {
    let at = |millis| Timestamp::from_millis(1_700_000_000_000 + millis);
    let started = |number: u32, millis: i64| UsageRecord {
        started_at: at(millis),
        ..call(number)
    };
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let unknown = UsageRecord {
        started_at: at(2),
        ..broken(2)
    };
    let all = vec![started(1, 0), unknown, started(3, 99), started(4, 100)];
    f.append(worker, with(all, success(&claimed, 2))).await;
    let (worker, other) = f.holder(new_run("beta")).await;
    f.append(worker, with(vec![started(1, 50)], success(&other, 2)))
        .await;
    let simulated = NewRun {
        simulated: true,
        on_interruption: Interruption::Continue,
        ..new_run("acme")
    };
    let (worker, pretended) = f.holder(simulated).await;
    f.append(worker, with(vec![started(1, 50)], success(&pretended, 2)))
        .await;
    let spent = |calls: u64, unknown| {
        let known = calls - unknown;
        Spending {
            calls,
            unknown,
            input_tokens: 1_000 * known,
            output_tokens: (u64::from(u32::MAX) + 1) * known,
            cost: Usd::from_nanos(12_345 * i64::try_from(known).unwrap()),
        }
    };
    let acme = tenant("acme");
    let of = async |tenant, from, until| f.reader.spending(tenant, from, until).await.unwrap();
    assert_eq!(of(Some(&acme), at(0), at(100)).await, spent(3, 1));
    assert_eq!(of(Some(&acme), at(1), at(1_000)).await, spent(3, 1));
    assert_eq!(of(None, at(0), at(100)).await, spent(4, 1));
    assert_eq!(
        of(Some(&acme), at(101), at(101).plus(LONG)).await,
        Spending::default()
    );
}

/// A call whose answer is so long, where it is an answer.
fn said(number: u32, output: Option<u64>) -> UsageRecord {
    UsageRecord {
        tokens: CallTokens {
            output,
            ..call(number).tokens
        },
        ..call(number)
    }
}

/// A run of this task type ends, and its calls were these.
async fn ended(f: &Fixture, task_type: &str, simulated: bool, calls: Vec<UsageRecord>) {
    let run = NewRun {
        task_type: task_type.to_owned(),
        simulated,
        ..new_run("acme")
    };
    let (worker, claimed) = f.holder(run).await;
    f.append(worker, with(calls, success(&claimed, 2))).await;
}

/// What the ledger says of lengths, in the order of task types.
async fn lengths(f: &Fixture) -> Vec<(String, u64, u64)> {
    let mut lengths = f.reader.answer_lengths().await.unwrap();
    lengths.sort_by(|a, b| a.task_type.cmp(&b.task_type));
    let parts = |length: AnswerLength| (length.task_type, length.mean_tokens, length.answers);
    lengths.into_iter().map(parts).collect()
}

async fn lengths_are_of_complete_answers_by_task_type(f: &Fixture) {
    assert_eq!(lengths(f).await, []);
    let cut = UsageRecord {
        outcome: CallOutcome::Interrupted,
        error: Some(FailureCode::ProviderTimeout),
        ..said(3, Some(9_000))
    };
    let lost = UsageRecord {
        outcome: CallOutcome::Hedged,
        ..said(4, Some(9_000))
    };
    let calls = vec![said(1, Some(10)), said(2, None), cut, lost];
    ended(f, "chat", false, calls).await;
    ended(f, "chat", false, vec![said(1, Some(21))]).await;
    ended(f, "chat", true, vec![said(1, Some(9_000))]).await;
    ended(f, "code", false, vec![said(1, Some(u64::from(u32::MAX) + 1))]).await;
    ended(f, "pretended", true, vec![said(1, Some(5))]).await;
    // 15.5, to the nearest.
    let expected = [
        ("chat".to_owned(), 16, 2),
        ("code".to_owned(), u64::from(u32::MAX) + 1, 1),
    ];
    assert_eq!(lengths(f).await, expected);
    // However long providers say they were.
    let absurd = (1..=3).map(|number| said(number, Some(u64::MAX))).collect();
    ended(f, "code", false, absurd).await;
    let code = lengths(f).await.pop().unwrap();
    assert_eq!((code.0.as_str(), code.2), ("code", 4));
    // With the runs goes what they were for.
    until(async || {
        f.upkeep.forget(Duration::ZERO, 10).await.unwrap();
        lengths(f).await.is_empty()
    })
    .await;
}

async fn lengths_are_of_the_newest_calls(f: &Fixture) {
    let many = |output| (1..=1_000).map(|number| said(number, Some(output))).collect();
    ended(f, "old", false, many(7)).await;
    ended(f, "new", false, many(8)).await;
    let both = [("new".to_owned(), 8, 1_000), ("old".to_owned(), 7, 1_000)];
    assert_eq!(lengths(f).await, both);
    ended(f, "newest", false, many(9)).await;
    let newest = [("new".to_owned(), 8, 1_000), ("newest".to_owned(), 9, 1_000)];
    assert_eq!(lengths(f).await, newest);
}
