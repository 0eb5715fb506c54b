//! `Execute::append` and `committed`, as long as the worker is alive. See `fences` for when it is not.

use shared::domain::{Cursor, FailureCode, RequeueReason, RunId, Status, Timestamp};
use shared::ledger::{Committed, Failure, LedgerError, RunResult, Then, Write, WriteOutcome};

use crate::fixture::{Fixture, LONG, delta, failed, new_run, output, requeue, success};

crate::contract!(
    what_is_appended_is_in_the_log_byte_for_byte,
    several_runs_go_in_one_commit,
    a_success_ends_the_run_with_its_result,
    a_failure_ends_the_run_with_its_reason,
    a_requeue_gives_the_run_back,
    last_output_and_end_go_together,
    writes_for_runs_that_are_not_ours_are_left_out,
    nothing_is_appended_after_the_end,
    a_refused_batch_commits_nothing,
    a_text_with_nul_is_refused,
    a_result_that_is_no_end_is_refused,
    committed_tells_what_is_in_the_ledger,
    an_empty_batch_is_nothing_done,
);

async fn what_is_appended_is_in_the_log_byte_for_byte(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let mut odd = delta(1, 2, "NUL \0, \"quotes\", \\ and \n, ünïcödé, 😀, \u{2028}");
    assert!(odd.data.contains("\\u0000"));
    // Unusual but valid JSON: spaces, repeated and reordered keys, escapes that need not be.
    let raw = entry_with(
        3,
        r#"{ "text" : "\u00e9\/" , "delta":{"z":1e2,"a":1.0,"a":[ ]} }"#,
    );
    let large = delta(1, 4, &"0123456789abcdef".repeat(200_000));
    odd.at = Timestamp::from_millis(1);
    let entries = vec![odd, raw, large];
    let write = Write {
        run: claimed.id,
        epoch: 1,
        entries: entries.clone(),
        usage: Vec::new(),
        then: Then::Continue,
    };
    assert_eq!(f.append(worker, write).await, WriteOutcome::Committed);
    assert!(f.whole_log(claimed.id).await[2..] == entries);
    assert_eq!(f.record(claimed.id).await.status, Status::Running);
}

fn entry_with(seq: u32, data: &str) -> shared::domain::LogEntry {
    shared::domain::LogEntry {
        data: data.into(),
        ..delta(1, seq, "")
    }
}

async fn several_runs_go_in_one_commit(f: &Fixture) {
    let worker = f.worker().await;
    let runs = f.accept_many("acme", 300).await;
    let claimed = f.execute.claim(worker, &runs, None).await.unwrap();
    assert_eq!(claimed.len(), 300);
    let later = claimed[0].started.at.plus(LONG);
    let writes: Vec<Write> = claimed
        .iter()
        .enumerate()
        .map(|(n, claimed)| match n % 4 {
            0 => output(claimed, 2, "x"),
            1 => success(claimed, 2),
            2 => failed(claimed, 2),
            _ => requeue(claimed, 2, RequeueReason::ProviderFailed, later),
        })
        .collect();
    let outcomes = f.execute.append(worker, &writes).await.unwrap();
    assert_eq!(outcomes, vec![WriteOutcome::Committed; 300]);
    for (n, claimed) in claimed.iter().enumerate() {
        let expected = [Status::Running, Status::Succeeded, Status::Failed, Status::Queued][n % 4];
        assert_eq!(f.record(claimed.id).await.status, expected);
        assert_eq!(f.whole_log(claimed.id).await[2..], writes[n].entries);
    }
}

async fn a_success_ends_the_run_with_its_result(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let write = success(&claimed, 2);
    assert_eq!(f.append(worker, write.clone()).await, WriteOutcome::Committed);
    let record = f.record(claimed.id).await;
    assert_eq!(
        (record.status, record.epoch, record.worker),
        (Status::Succeeded, 1, None)
    );
    let ended = f.ended(claimed.id).await;
    let Then::Settle(result) = write.then else {
        panic!("a success settles")
    };
    assert_eq!(ended.result, *result);
    // By database time, not by the worker's clock.
    assert_eq!(record.finished_at, Some(ended.finished_at));
    assert!(ended.finished_at >= claimed.started.at);
}

async fn a_failure_ends_the_run_with_its_reason(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    assert_eq!(
        f.append(worker, failed(&claimed, 2)).await,
        WriteOutcome::Committed
    );
    let ended = f.ended(claimed.id).await;
    let message = "no such model".to_owned();
    let failure = Failure {
        code: FailureCode::ProviderRejected,
        message,
        retryable: false,
    };
    assert_eq!(
        ended.result,
        RunResult::without_answer(Status::Failed, Some(failure))
    );
}

async fn a_requeue_gives_the_run_back(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let later = claimed.started.at.plus(LONG);
    let write = requeue(&claimed, 2, RequeueReason::ProviderFailed, later);
    assert_eq!(f.append(worker, write).await, WriteOutcome::Committed);
    let record = f.record(claimed.id).await;
    assert_eq!(
        (record.status, record.epoch, record.worker),
        (Status::Queued, 2, None)
    );
    assert_eq!(
        (record.not_before, record.attempts, record.finished_at),
        (later, 1, None)
    );
    assert!(f.reader.result(claimed.id).await.unwrap().is_none());
    assert_eq!(f.outline(claimed.id).await.last().unwrap(), "1-2 run.requeued");
}

async fn last_output_and_end_go_together(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let mut write = success(&claimed, 4);
    write.entries.splice(0..0, [delta(1, 2, "a"), delta(1, 3, "b")]);
    assert_eq!(f.append(worker, write).await, WriteOutcome::Committed);
    assert_eq!(
        f.outline(claimed.id).await[2..],
        ["1-2 output.delta", "1-3 output.delta", "1-4 run.succeeded"]
    );
}

async fn writes_for_runs_that_are_not_ours_are_left_out(f: &Fixture) {
    let (worker, ours) = f.holder(new_run("acme")).await;
    let (_, theirs) = f.holder(new_run("acme")).await;
    let queued = f.accept(new_run("acme")).await;
    let never_claimed = Write {
        run: queued,
        epoch: 0,
        entries: vec![delta(0, 2, "x")],
        usage: Vec::new(),
        then: Then::Continue,
    };
    let unknown = Write {
        run: RunId::new(),
        ..output(&ours, 2, "x")
    };
    let mut stale = output(&ours, 2, "x");
    stale.epoch = 3;
    stale.entries[0].cursor = Cursor::new(3, 1);
    let batch = [success(&theirs, 2), never_claimed, output(&ours, 2, "y"), unknown];
    let outcomes = f.execute.append(worker, &batch).await.unwrap();
    let fenced = WriteOutcome::Fenced;
    assert_eq!(
        outcomes,
        [
            fenced.clone(),
            fenced.clone(),
            WriteOutcome::Committed,
            fenced.clone()
        ]
    );
    assert_eq!(f.append(worker, stale).await, fenced);
    assert_eq!(f.outline(ours.id).await[2..], ["1-2 output.delta"]);
    assert_eq!(
        f.outline(theirs.id).await,
        ["0-1 run.queued", "1-1 attempt.started"]
    );
    assert_eq!(f.record(theirs.id).await.status, Status::Running);
    assert_eq!(f.outline(queued).await, ["0-1 run.queued"]);
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_event").await, 6);
}

async fn nothing_is_appended_after_the_end(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, success(&claimed, 2)).await;
    assert_eq!(
        f.append(worker, output(&claimed, 3, "late")).await,
        WriteOutcome::Fenced
    );
    assert_eq!(f.append(worker, failed(&claimed, 3)).await, WriteOutcome::Fenced);
    assert_eq!(f.ended(claimed.id).await.result.status, Status::Succeeded);
}

async fn refused(f: &Fixture, worker: shared::domain::WorkerId, batch: &[Write]) {
    let events = f.count("SELECT count(*) AS n FROM mcp_event").await;
    let outcome = f.execute.append(worker, batch).await;
    assert!(matches!(outcome, Err(LedgerError::Refused(_))), "{outcome:?}");
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_event").await, events);
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_result").await, 0);
    for write in batch {
        assert_eq!(f.record(write.run).await.status, Status::Running);
    }
}

async fn a_refused_batch_commits_nothing(f: &Fixture) {
    let (worker, first) = f.holder(new_run("acme")).await;
    let second = f.accept(new_run("acme")).await;
    let second = f.claim(worker, second).await;
    // Entry 1 of the epoch is taken by `attempt.started`.
    refused(f, worker, &[success(&first, 2), output(&second, 1, "twice")]).await;
    assert_eq!(
        f.append(worker, success(&first, 2)).await,
        WriteOutcome::Committed
    );
}

async fn a_text_with_nul_is_refused(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let mut write = success(&claimed, 2);
    let Then::Settle(result) = &mut write.then else {
        panic!("a success settles")
    };
    result.model = Some("gpt\0x".to_owned());
    refused(f, worker, &[write]).await;
    refused(
        f,
        worker,
        &[Write {
            entries: vec![entry_with(2, "{\"text\":\"\0\"}")],
            ..output(&claimed, 2, "")
        }],
    )
    .await;
}

async fn a_result_that_is_no_end_is_refused(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    for status in [Status::Running, Status::Queued, Status::Succeeded, Status::Failed] {
        // A success needs an answer, and a failure a reason.
        let then = Then::Settle(Box::new(RunResult::without_answer(status, None)));
        refused(
            f,
            worker,
            &[Write {
                usage: Vec::new(),
                then,
                ..success(&claimed, 2)
            }],
        )
        .await;
    }
}

async fn committed_tells_what_is_in_the_ledger(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let (_, theirs) = f.holder(new_run("acme")).await;
    let (there, fenced, later) = (
        output(&claimed, 2, "x"),
        output(&theirs, 2, "x"),
        output(&claimed, 3, "y"),
    );
    f.execute
        .append(worker, &[there.clone(), fenced.clone()])
        .await
        .unwrap();
    let (yes, no) = (Committed::Yes, Committed::No);
    assert_eq!(
        f.execute
            .committed(&[fenced, later.clone(), there.clone()])
            .await
            .unwrap(),
        [no, no, yes]
    );
    f.append(worker, later.clone()).await;
    assert_eq!(f.execute.committed(&[later, there]).await.unwrap(), [yes, yes]);
    assert_eq!(f.execute.committed(&[]).await.unwrap(), []);
}

async fn an_empty_batch_is_nothing_done(f: &Fixture) {
    let worker = f.worker().await;
    assert_eq!(f.execute.append(worker, &[]).await.unwrap(), []);
}
