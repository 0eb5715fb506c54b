//! Single rows, each by a statement that stays prepared.
//!
//! A text with a NUL is refused here as Postgres refuses it, so that a ledger can move from one database to the other.
//! Inside JSON text it is always the escape `\u0000`.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::int;
use crate::domain::{LogEntry, RunId, Timestamp, Usd, UserHash};
use crate::ledger::{LedgerError, NewRun, RunResult};

/// A parameter for `json_each`.
#[expect(
    clippy::expect_used,
    reason = "arrays of strings and numbers always serialise"
)]
pub(super) fn json(rows: &impl Serialize) -> String {
    serde_json::to_string(rows).expect("arrays of strings and numbers serialise")
}

/// Ids as a parameter for `json_each`, each to be read with `unhex(value)`.
pub(super) fn ids(runs: impl Iterator<Item = RunId>) -> String {
    json(&runs.map(|run| run.uuid().simple()).collect::<Vec<_>>())
}

/// Refuses what Postgres would refuse.
pub(super) fn without_nul<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), LedgerError> {
    if texts.into_iter().any(|text| text.as_bytes().contains(&0)) {
        return Err(LedgerError::Refused("a text contains NUL".to_owned()));
    }
    Ok(())
}

/// ?1 id … ?21, in the order of the columns; queued, in epoch 0.
const INSERT_RUN: &str = "\
INSERT INTO mcp_request (id, kind, tenant, user_hash, class, priority, task_type, model, on_interruption, status, epoch, \
  not_before, deadline_at, idempotency_key, body_hmac, estimated_input_tokens, estimated_output_tokens, \
  estimated_cost_nanousd, trace_parent, simulated, created_at, spec, metadata) \
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', 0, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?10, ?19, ?20) \
ON CONFLICT DO NOTHING";

/// Inserts a run as queued. False: its id or its key is there already.
pub(super) fn insert_run(connection: &Connection, now: Timestamp, run: &NewRun) -> Result<bool, LedgerError> {
    let idempotency = run.idempotency.as_ref();
    let key = idempotency.map(|idempotency| idempotency.key.as_str());
    let optional = [key, run.metadata.as_deref(), run.trace_parent.as_deref()];
    without_nul(
        [run.task_type.as_str(), &run.model, &run.spec]
            .into_iter()
            .chain(optional.into_iter().flatten()),
    )?;
    let inserted = connection.prepare_cached(INSERT_RUN)?.execute(params![
        run.id.uuid(),
        run.kind.as_str(),
        run.tenant.as_str(),
        run.user.as_ref().map(UserHash::as_str),
        run.class.as_str(),
        run.priority.get(),
        run.task_type,
        run.model,
        run.on_interruption.as_str(),
        now.millis(),
        run.deadline.map(|deadline| now.plus(deadline).millis()),
        key,
        idempotency.map(|idempotency| idempotency.body_hmac.as_slice()),
        int(run.estimate.input_tokens),
        int(run.estimate.output_tokens),
        run.estimate.cost_usd.map(Usd::nanos),
        run.trace_parent,
        run.simulated,
        run.spec,
        run.metadata,
    ])?;
    Ok(inserted > 0)
}

/// ?1 run, ?2 epoch, ?3 seq, ?4 type, ?5 moment, ?6 data.
const INSERT_ENTRY: &str =
    "INSERT INTO mcp_event (run_id, epoch, seq, type, at, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Appends to a log. An address that is taken is refused.
pub(super) fn insert_entry(connection: &Connection, run: RunId, entry: &LogEntry) -> Result<(), LedgerError> {
    without_nul([&*entry.data])?;
    connection.prepare_cached(INSERT_ENTRY)?.execute(params![
        run.uuid(),
        entry.cursor.epoch,
        entry.cursor.seq,
        entry.kind.as_str(),
        entry.at.millis(),
        &*entry.data,
    ])?;
    Ok(())
}

/// Where a run goes.
pub(super) struct Change<'a> {
    /// The run.
    pub(super) run: RunId,
    /// Its epoch from now on.
    pub(super) epoch: u32,
    /// Whether a crash is counted.
    pub(super) crashed: bool,
    /// Its state from now on.
    pub(super) to: To<'a>,
}

/// The state a run goes to; both take it from its worker.
pub(super) enum To<'a> {
    /// Back to the queue.
    Queue {
        /// Not claimed before.
        not_before: Timestamp,
        /// Provider calls that failed and are counted.
        failed_calls: u32,
        /// Until when it waits for providers that are ill.
        waits_until: Option<Timestamp>,
    },
    /// To its end.
    End(&'a RunResult),
}

/// ?1 run, ?2 epoch, ?3 status, ?4 `not_before` or NULL to leave it, ?5 retries and ?6 crashes to count, ?7 its end, ?8 until when it
/// waits for providers.
pub(super) const CHANGE: &str = "\
UPDATE mcp_request SET status = ?3, epoch = ?2, worker_id = NULL, not_before = coalesce(?4, not_before), \
  retries = retries + ?5, crashes = crashes + ?6, finished_at = ?7, waits_until = ?8 WHERE id = ?1";

/// Changes a run's row, and writes its result if it ends.
pub(super) fn change(
    connection: &Connection,
    now: Timestamp,
    change: &Change<'_>,
) -> Result<(), LedgerError> {
    let (status, not_before, retried, finished_at, waits_until) = match change.to {
        To::Queue {
            not_before,
            failed_calls,
            waits_until,
        } => {
            let waits_until = waits_until.map(Timestamp::millis);
            (
                "queued",
                Some(not_before.millis()),
                failed_calls,
                None,
                waits_until,
            )
        }
        To::End(result) => (result.status.as_str(), None, 0, Some(now.millis()), None),
    };
    connection.prepare_cached(CHANGE)?.execute(params![
        change.run.uuid(),
        change.epoch,
        status,
        not_before,
        retried,
        change.crashed,
        finished_at,
        waits_until,
    ])?;
    match change.to {
        To::Queue { .. } => Ok(()),
        To::End(result) => insert_result(connection, now, change.run, result),
    }
}

/// ?1 … ?12, in the order of the columns.
const INSERT_RESULT: &str = "\
INSERT INTO mcp_result (run_id, status, answer, finish_reason, provider, model, usage, cost_nanousd, error_code, \
  error_message, retryable, finished_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

fn insert_result(
    connection: &Connection,
    now: Timestamp,
    run: RunId,
    result: &RunResult,
) -> Result<(), LedgerError> {
    let failure = result.failure.as_ref();
    let own = [
        &result.answer,
        &result.finish_reason,
        &result.provider,
        &result.model,
        &result.usage,
    ];
    let message = failure.map(|failure| failure.message.as_str());
    without_nul(own.into_iter().filter_map(|text| text.as_deref()).chain(message))?;
    connection.prepare_cached(INSERT_RESULT)?.execute(params![
        run.uuid(),
        result.status.as_str(),
        result.answer,
        result.finish_reason,
        result.provider,
        result.model,
        result.usage,
        result.cost.map(Usd::nanos),
        failure.map(|failure| failure.code.as_str()),
        message,
        failure.map(|failure| failure.retryable),
        now.millis(),
    ])?;
    Ok(())
}

/// Deletes the log and the result of a run that is gone.
pub(super) fn delete_content(connection: &Connection, gone: RunId) -> Result<(), LedgerError> {
    for delete in [
        "DELETE FROM mcp_event WHERE run_id = ?1",
        "DELETE FROM mcp_result WHERE run_id = ?1",
    ] {
        connection.prepare_cached(delete)?.execute([gone.uuid()])?;
    }
    Ok(())
}
