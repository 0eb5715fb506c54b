//! What runs append, on Postgres: one statement per batch, of the three the shortest that does.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::usage::Calls;
use super::{Postgres, count, int};
use crate::domain::{Cursor, EventType, LogEntry, Timestamp, WorkerId};
use crate::ledger::{LedgerError, RunResult, Then, Write, WriteOutcome};

/// Entries of runs that go on: the fence is this worker's row, and each run's own epoch. Rows are looked up by id alone, as
/// in a claim: `OFFSET 0` keeps the other conditions outside of the look-up.
const APPEND: &str = "
WITH me AS MATERIALIZED (
    SELECT id FROM mcp_worker WHERE id = $1 AND status <> 'dead' FOR KEY SHARE
), mine AS MATERIALIZED (
    SELECT run.id, run.epoch FROM UNNEST($2::uuid[]) AS written(id) CROSS JOIN LATERAL (
        SELECT id, epoch, status, worker_id FROM mcp_request WHERE mcp_request.id = written.id OFFSET 0
    ) AS run
    WHERE run.status = 'running' AND run.worker_id = $1 AND EXISTS (SELECT 1 FROM me)
), logged AS (
    INSERT INTO mcp_event (run_id, epoch, seq, type, at, data)
    SELECT entry.run_id, entry.epoch, entry.seq, entry.type, entry.at, entry.data
    FROM UNNEST($3::uuid[], $4::int[], $5::int[], $6::text[], $7::bigint[], $8::text[])
        AS entry(run_id, epoch, seq, type, at, data)
    JOIN mine ON mine.id = entry.run_id AND mine.epoch = entry.epoch
)
SELECT id, epoch, NULL::int, NULL::bigint, NULL::text FROM mine";

/// The same, with runs that end or go back to the queue; one that somebody asked to cancel meanwhile does not go back but
/// ends, by an entry in the epoch after. The epoch alone tells that a run is still as `mine` saw it: whoever moves a run
/// mints another one. Takes what else is read of a run, and what else is done.
macro_rules! append_and_close {
    ($of_mine:literal, $accounted:literal) => {
        concat!(
            r#"
WITH me AS MATERIALIZED (
    SELECT id FROM mcp_worker WHERE id = $1 AND status <> 'dead' FOR KEY SHARE
), mine AS MATERIALIZED (
    SELECT run.id, run.epoch"#,
            $of_mine,
            r#" FROM UNNEST($2::uuid[]) AS written(id) CROSS JOIN LATERAL (
        SELECT id, epoch, status, worker_id, tenant, user_hash, simulated FROM mcp_request
        WHERE mcp_request.id = written.id OFFSET 0
    ) AS run
    WHERE run.status = 'running' AND run.worker_id = $1 AND EXISTS (SELECT 1 FROM me)
), logged AS (
    INSERT INTO mcp_event (run_id, epoch, seq, type, at, data)
    SELECT entry.run_id, entry.epoch, entry.seq, entry.type, entry.at, entry.data
    FROM UNNEST($3::uuid[], $4::int[], $5::int[], $6::text[], $7::bigint[], $8::text[])
        AS entry(run_id, epoch, seq, type, at, data)
    JOIN mine ON mine.id = entry.run_id AND mine.epoch = entry.epoch
), close AS MATERIALIZED (
    SELECT close.* FROM UNNEST($9::uuid[], $10::int[], $11::text[], $12::bigint[], $13::int[], $14::bigint[])
        AS close(id, epoch, status, not_before, failed_calls, waits_until)
    JOIN mine ON mine.id = close.id AND mine.epoch = close.epoch
), closed AS (
    UPDATE mcp_request AS run
    SET status = CASE WHEN close.status = 'queued' AND run.cancel_at IS NOT NULL THEN 'cancelled' ELSE close.status END,
        worker_id = NULL,
        epoch = run.epoch + CASE WHEN close.status = 'queued' THEN 1 ELSE 0 END,
        retries = run.retries + close.failed_calls,
        not_before = coalesce(close.not_before, run.not_before),
        waits_until = close.waits_until,
        finished_at = CASE WHEN close.status = 'queued' AND run.cancel_at IS NULL THEN NULL ELSE mcp_now() END
    FROM close
    WHERE run.id = close.id AND run.epoch = close.epoch
    RETURNING run.id, run.epoch, run.cancel_by, run.finished_at, run.simulated,
              close.status = 'queued' AND run.cancel_at IS NOT NULL AS overtaken
), cancelled AS MATERIALIZED (
    SELECT id, epoch, finished_at, '{"by":' || to_json(cancel_by)::text
        || CASE WHEN simulated THEN ',"simulated":true}' ELSE '}' END AS data
    FROM closed WHERE overtaken
), cancelled_log AS (
    INSERT INTO mcp_event (run_id, epoch, seq, type, at, data)
    SELECT id, epoch, 1, 'run.cancelled', finished_at, data FROM cancelled
), cancelled_results AS (
    INSERT INTO mcp_result (run_id, status, finished_at) SELECT id, 'cancelled', finished_at FROM cancelled
), results AS (
    INSERT INTO mcp_result (
        run_id, status, answer, finish_reason, provider, model, usage, cost_nanousd, error_code, error_message,
        retryable, finished_at
    )
    SELECT result.id, result.status, answer, finish_reason, provider, model, usage, cost, error_code, error_message,
        retryable, mcp_now()
    FROM UNNEST($15::uuid[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::bigint[],
                $23::text[], $24::text[], $25::bool[])
        AS result(id, status, answer, finish_reason, provider, model, usage, cost, error_code, error_message, retryable)
    JOIN close ON close.id = result.id
)"#,
            $accounted,
            r#"
SELECT mine.id, mine.epoch, cancelled.epoch, cancelled.finished_at, cancelled.data
FROM mine LEFT JOIN cancelled ON cancelled.id = mine.id"#
        )
    };
}

const APPEND_AND_CLOSE: &str = append_and_close!("", "");

/// The same, with calls to account; who for, the run says. Also for batches in which no run ends: those are few.
pub(super) const APPEND_CLOSE_AND_ACCOUNT: &str = append_and_close!(
    ", run.tenant, run.user_hash, run.simulated",
    ", accounted AS (
    INSERT INTO mcp_usage (
        run_id, epoch, call, tenant, user_hash, simulated, provider, model, key_index, outcome, error_code, input_tokens,
        output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, cost_nanousd, cost_unknown, estimated,
        first_token_ms, duration_ms, provider_request_id, started_at
    )
    SELECT mine.id, mine.epoch, call.number, mine.tenant, mine.user_hash, mine.simulated, provider, model, key_index,
        outcome, error_code, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens,
        cost_nanousd, cost_unknown, estimated, first_token_ms, duration_ms, provider_request_id, started_at
    FROM UNNEST($26::uuid[], $27::int[], $28::int[], $29::text[], $30::text[], $31::int[], $32::text[], $33::text[],
                $34::bigint[], $35::bigint[], $36::bigint[], $37::bigint[], $38::bigint[], $39::bigint[], $40::text[],
                $41::bool[], $42::bigint[], $43::bigint[], $44::text[], $45::bigint[])
        AS call(run_id, epoch, number, provider, model, key_index, outcome, error_code, input_tokens, output_tokens,
                cached_input_tokens, cache_write_tokens, reasoning_tokens, cost_nanousd, cost_unknown, estimated,
                first_token_ms, duration_ms, provider_request_id, started_at)
    JOIN mine ON mine.id = call.run_id AND mine.epoch = call.epoch
)"
);

/// What became of a run that is this worker's.
fn written(row: &PgRow) -> Result<WriteOutcome, LedgerError> {
    let Some(epoch) = row.try_get::<Option<i32>, _>(2)? else {
        return Ok(WriteOutcome::Committed);
    };
    Ok(WriteOutcome::Overtaken(LogEntry {
        cursor: Cursor::new(count(epoch), 1),
        kind: EventType::RunCancelled,
        at: Timestamp::from_millis(row.try_get(3)?),
        data: row.try_get::<&str, _>(4)?.into(),
    }))
}

/// The columns of what runs append.
#[derive(Default)]
struct Entries<'a> {
    runs: Vec<Uuid>,
    epochs: Vec<i32>,
    seqs: Vec<i32>,
    kinds: Vec<&'static str>,
    moments: Vec<i64>,
    data: Vec<&'a str>,
}

impl<'a> Entries<'a> {
    fn of(writes: &'a [Write]) -> Self {
        let mut columns = Self::default();
        for write in writes {
            for entry in &write.entries {
                columns.runs.push(write.run.uuid());
                columns.epochs.push(int(entry.cursor.epoch));
                columns.seqs.push(int(entry.cursor.seq));
                columns.kinds.push(entry.kind.as_str());
                columns.moments.push(entry.at.millis());
                columns.data.push(&entry.data);
            }
        }
        columns
    }
}

/// The columns of runs that end or go back to the queue.
#[derive(Default)]
struct Closes<'a> {
    runs: Vec<Uuid>,
    epochs: Vec<i32>,
    statuses: Vec<&'static str>,
    not_before: Vec<Option<i64>>,
    failed_calls: Vec<i32>,
    waits_until: Vec<Option<i64>>,
    ended: Vec<Uuid>,
    results: Vec<&'a RunResult>,
}

impl<'a> Closes<'a> {
    fn of(writes: &'a [Write]) -> Self {
        let mut columns = Self::default();
        for write in writes {
            let (status, not_before, failed_calls, waits_until) = match &write.then {
                Then::Continue => continue,
                Then::Settle(result) => {
                    columns.ended.push(write.run.uuid());
                    columns.results.push(result);
                    (result.status.as_str(), None, 0, None)
                }
                Then::Requeue {
                    not_before,
                    failed_calls,
                    waits_until,
                    ..
                } => {
                    let waits_until = waits_until.map(Timestamp::millis);
                    (
                        "queued",
                        Some(not_before.millis()),
                        int(*failed_calls),
                        waits_until,
                    )
                }
            };
            columns.runs.push(write.run.uuid());
            columns.epochs.push(int(write.epoch));
            columns.statuses.push(status);
            columns.not_before.push(not_before);
            columns.failed_calls.push(failed_calls);
            columns.waits_until.push(waits_until);
        }
        columns
    }

    fn result<T>(&self, value: impl Fn(&'a RunResult) -> T) -> Vec<T> {
        self.results.iter().map(|result| value(result)).collect()
    }
}

impl Postgres {
    /// Commits what several runs append.
    pub(super) async fn write(
        &self,
        worker: WorkerId,
        writes: &[Write],
    ) -> Result<Vec<WriteOutcome>, LedgerError> {
        let ids: Vec<Uuid> = writes.iter().map(|write| write.run.uuid()).collect();
        let entries = Entries::of(writes);
        let closes = Closes::of(writes);
        let calls = Calls::of(writes);
        let statement = match (closes.runs.is_empty(), calls.is_empty()) {
            (true, true) => APPEND,
            (false, true) => APPEND_AND_CLOSE,
            (_, false) => APPEND_CLOSE_AND_ACCOUNT,
        };
        let mut query = sqlx::query(statement)
            .bind(worker.uuid())
            .bind(&ids)
            .bind(&entries.runs)
            .bind(&entries.epochs)
            .bind(&entries.seqs)
            .bind(&entries.kinds)
            .bind(&entries.moments)
            .bind(&entries.data);
        if statement != APPEND {
            query = query
                .bind(&closes.runs)
                .bind(&closes.epochs)
                .bind(&closes.statuses)
                .bind(&closes.not_before)
                .bind(&closes.failed_calls)
                .bind(&closes.waits_until)
                .bind(&closes.ended)
                .bind(closes.result(|result| result.status.as_str()))
                .bind(closes.result(|result| result.answer.as_deref()))
                .bind(closes.result(|result| result.finish_reason.as_deref()))
                .bind(closes.result(|result| result.provider.as_deref()))
                .bind(closes.result(|result| result.model.as_deref()))
                .bind(closes.result(|result| result.usage.as_deref()))
                .bind(closes.result(|result| result.cost.map(crate::domain::Usd::nanos)))
                .bind(closes.result(|result| result.failure.as_ref().map(|failure| failure.code.as_str())))
                .bind(closes.result(|result| result.failure.as_ref().map(|failure| failure.message.as_str())))
                .bind(closes.result(|result| result.failure.as_ref().map(|failure| failure.retryable)));
        }
        if !calls.is_empty() {
            query = calls.bind(query);
        }
        let rows = self
            .within(async {
                let mut ride = self.appending.enter(&self.pool).await?;
                let rows = query.fetch_all(&mut *ride).await;
                ride.end(&rows);
                rows
            })
            .await?;
        let mut mine: HashMap<(Uuid, i32), WriteOutcome> = HashMap::with_capacity(rows.len());
        for row in rows {
            mine.insert((row.try_get(0)?, row.try_get(1)?), written(&row)?);
        }
        let mut outcome = |write: &Write| mine.remove(&(write.run.uuid(), int(write.epoch)));
        Ok(writes
            .iter()
            .map(|write| outcome(write).unwrap_or(WriteOutcome::Fenced))
            .collect())
    }
}
