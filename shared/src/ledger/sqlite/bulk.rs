//! Many rows in one statement. Rows to insert are bound one by one in a multi-row `VALUES`, so that large texts are
//! neither escaped nor parsed again; what only selects or changes rows goes as one JSON array through `json_each`.
//!
//! NUL: inside JSON text it is always the escape `\u0000`. A text with a real NUL is refused here as Postgres refuses
//! it, so that a ledger can move from one database to the other.

use serde::Serialize;
use sqlx::QueryBuilder;

use super::{Transaction, decode, int};
use crate::domain::{LogEntry, RunId, Timestamp, Usd, UserHash};
use crate::ledger::{LedgerError, NewRun, RunResult};

/// Rows per statement. SQLite takes 32,766 parameters; the widest row here has 23.
const ROWS: usize = 1_000;

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
fn without_nul<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), LedgerError> {
    if texts.into_iter().any(|text| text.contains('\0')) {
        return Err(LedgerError::Refused("a text contains NUL".to_owned()));
    }
    Ok(())
}

/// Inserts the runs whose id and key are new, as queued; says which those are.
pub(super) async fn insert_runs(
    transaction: &mut Transaction,
    now: Timestamp,
    runs: &[NewRun],
) -> Result<Vec<RunId>, LedgerError> {
    let mut inserted = Vec::with_capacity(runs.len());
    for runs in runs.chunks(ROWS) {
        for run in runs {
            let key = run
                .idempotency
                .as_ref()
                .map(|idempotency| idempotency.key.as_str());
            let optional = [key, run.metadata.as_deref(), run.trace_parent.as_deref()];
            without_nul(
                [run.task_type.as_str(), &run.model, &run.spec]
                    .into_iter()
                    .chain(optional.into_iter().flatten()),
            )?;
        }
        let mut insert = QueryBuilder::<sqlx::Sqlite>::new(
            "INSERT INTO mcp_request (id, kind, tenant, user_hash, class, priority, task_type, model, on_interruption, \
             status, epoch, not_before, deadline_at, idempotency_key, body_hmac, estimated_input_tokens, \
             estimated_output_tokens, estimated_cost_nanousd, trace_parent, simulated, created_at, spec, metadata) ",
        );
        insert.push_values(runs, |mut row, run| {
            row.push_bind(run.id.uuid())
                .push_bind(run.kind.as_str())
                .push_bind(run.tenant.as_str())
                .push_bind(run.user.as_ref().map(UserHash::as_str))
                .push_bind(run.class.as_str())
                .push_bind(run.priority.get())
                .push_bind(run.task_type.as_str())
                .push_bind(run.model.as_str())
                .push_bind(run.on_interruption.as_str())
                .push("'queued', 0")
                .push_bind(now.millis())
                .push_bind(run.deadline.map(|deadline| now.plus(deadline).millis()))
                .push_bind(
                    run.idempotency
                        .as_ref()
                        .map(|idempotency| idempotency.key.as_str()),
                )
                .push_bind(
                    run.idempotency
                        .as_ref()
                        .map(|idempotency| idempotency.body_hmac.as_slice()),
                )
                .push_bind(int(run.estimate.input_tokens))
                .push_bind(int(run.estimate.output_tokens))
                .push_bind(run.estimate.cost_usd.map(Usd::nanos))
                .push_bind(run.trace_parent.as_deref())
                .push_bind(run.simulated)
                .push_bind(now.millis())
                .push_bind(run.spec.as_str())
                .push_bind(run.metadata.as_deref());
        });
        insert.push(" ON CONFLICT DO NOTHING RETURNING id");
        // Kept prepared where it pays: a single row. Larger batches come in too many sizes.
        let rows = insert
            .build()
            .persistent(runs.len() == 1)
            .fetch_all(&mut **transaction)
            .await?;
        for row in rows {
            inserted.push(decode::run(&row, "id")?);
        }
    }
    Ok(inserted)
}

/// Appends to logs. An address that is taken refuses the whole batch.
pub(super) async fn insert_entries(
    transaction: &mut Transaction,
    entries: &[(RunId, &LogEntry)],
) -> Result<(), LedgerError> {
    for entries in entries.chunks(ROWS) {
        without_nul(entries.iter().map(|(_, entry)| &*entry.data))?;
        let mut insert =
            QueryBuilder::<sqlx::Sqlite>::new("INSERT INTO mcp_event (run_id, epoch, seq, type, at, data) ");
        insert.push_values(entries, |mut row, (run, entry)| {
            row.push_bind(run.uuid())
                .push_bind(entry.cursor.epoch)
                .push_bind(entry.cursor.seq)
                .push_bind(entry.kind.as_str())
                .push_bind(entry.at.millis())
                .push_bind(std::sync::Arc::clone(&entry.data));
        });
        insert
            .build()
            .persistent(entries.len() == 1)
            .execute(&mut **transaction)
            .await?;
    }
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
        /// Whether a provider failure is counted.
        retried: bool,
    },
    /// To its end.
    End(&'a RunResult),
}

/// Changes the rows of runs and writes the results of those that end.
pub(super) async fn change(
    transaction: &mut Transaction,
    now: Timestamp,
    changes: &[Change<'_>],
) -> Result<(), LedgerError> {
    if changes.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            let (status, not_before, retried, finished_at) = match change.to {
                To::Queue { not_before, retried } => ("queued", Some(not_before.millis()), retried, None),
                To::End(result) => (result.status.as_str(), None, false, Some(now.millis())),
            };
            let (retried, crashed) = (u8::from(retried), u8::from(change.crashed));
            (
                change.run.uuid().simple(),
                change.epoch,
                status,
                not_before,
                retried,
                crashed,
                finished_at,
            )
        })
        .collect();
    sqlx::query(CHANGE)
        .bind(json(&rows))
        .execute(&mut **transaction)
        .await?;
    insert_results(transaction, now, changes).await
}

pub(super) const CHANGE: &str = "UPDATE mcp_request SET status = c.status, epoch = c.epoch, worker_id = NULL, \
     not_before = coalesce(c.not_before, mcp_request.not_before), retries = retries + c.retried, \
     crashes = crashes + c.crashed, finished_at = c.finished_at \
     FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS epoch, value ->> 2 AS status, value ->> 3 AS not_before, \
           value ->> 4 AS retried, value ->> 5 AS crashed, value ->> 6 AS finished_at FROM json_each(?1)) AS c \
     WHERE mcp_request.id = c.id";

async fn insert_results(
    transaction: &mut Transaction,
    now: Timestamp,
    changes: &[Change<'_>],
) -> Result<(), LedgerError> {
    let ended: Vec<(RunId, &RunResult)> = changes
        .iter()
        .filter_map(|change| match change.to {
            To::End(result) => Some((change.run, result)),
            To::Queue { .. } => None,
        })
        .collect();
    for ended in ended.chunks(ROWS) {
        for (_, result) in ended {
            let message = result.failure.as_ref().map(|failure| failure.message.as_str());
            let own = [
                &result.answer,
                &result.finish_reason,
                &result.provider,
                &result.model,
                &result.usage,
            ];
            without_nul(own.into_iter().filter_map(|text| text.as_deref()).chain(message))?;
        }
        let mut insert = QueryBuilder::<sqlx::Sqlite>::new(
            "INSERT INTO mcp_result (run_id, status, answer, finish_reason, provider, model, usage, cost_nanousd, \
             error_code, error_message, retryable, finished_at) ",
        );
        insert.push_values(ended, |mut row, (run, result)| {
            row.push_bind(run.uuid())
                .push_bind(result.status.as_str())
                .push_bind(result.answer.as_deref())
                .push_bind(result.finish_reason.as_deref())
                .push_bind(result.provider.as_deref())
                .push_bind(result.model.as_deref())
                .push_bind(result.usage.as_deref())
                .push_bind(result.cost.map(Usd::nanos))
                .push_bind(result.failure.as_ref().map(|failure| failure.code.as_str()))
                .push_bind(result.failure.as_ref().map(|failure| failure.message.as_str()))
                .push_bind(result.failure.as_ref().map(|failure| failure.retryable))
                .push_bind(now.millis());
        });
        insert
            .build()
            .persistent(ended.len() == 1)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Deletes the logs and results of runs that are gone.
pub(super) async fn delete_content(transaction: &mut Transaction, gone: &[RunId]) -> Result<(), LedgerError> {
    if gone.is_empty() {
        return Ok(());
    }
    let gone = ids(gone.iter().copied());
    for delete in [
        "DELETE FROM mcp_event WHERE run_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM mcp_result WHERE run_id IN (SELECT unhex(value) FROM json_each(?1))",
    ] {
        sqlx::query(delete)
            .bind(gone.as_str())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
