//! Accepting and cancelling on Postgres.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{Postgres, int, millis};
use crate::domain::{Cursor, Event, LogEntry, RunCancelled, RunId, Status, Timestamp};
use crate::ledger::{AcceptOutcome, CancelOutcome, LedgerError, NewRun, Submit};

/// Runs and their first events in one statement. Rows are inserted in the order of (tenant, key), so that two batches
/// that share keys wait for each other instead of deadlocking.
const ACCEPT: &str = "
WITH input AS MATERIALIZED (
    SELECT * FROM UNNEST(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::text[], $9::text[],
        $10::bigint[], $11::text[], $12::bytea[], $13::int[], $14::int[], $15::bigint[], $16::text[], $17::bool[],
        $18::text[], $19::text[], $20::text[]
    ) AS input(
        id, kind, tenant, user_hash, class, priority, task_type, model, on_interruption,
        deadline, idempotency_key, body_hmac, input_tokens, output_tokens, cost, trace_parent, simulated,
        spec, metadata, queued
    )
), accepted AS (
    INSERT INTO mcp_request (
        id, kind, tenant, user_hash, class, priority, task_type, model, on_interruption, status, epoch,
        not_before, deadline_at, idempotency_key, body_hmac, estimated_input_tokens, estimated_output_tokens,
        estimated_cost_nanousd, trace_parent, simulated, created_at, spec, metadata
    )
    SELECT
        id, kind, tenant, user_hash, class, priority, task_type, model, on_interruption, 'queued', 0,
        mcp_now(), mcp_now() + deadline, idempotency_key, body_hmac, input_tokens, output_tokens,
        cost, trace_parent, simulated, mcp_now(), spec, metadata
    FROM input ORDER BY tenant, idempotency_key, id
    ON CONFLICT DO NOTHING
    RETURNING id, created_at
), logged AS (
    INSERT INTO mcp_event (run_id, epoch, seq, type, at, data)
    SELECT accepted.id, 0, 1, 'run.queued', accepted.created_at, input.queued
    FROM accepted JOIN input ON input.id = accepted.id
)
SELECT id, created_at FROM accepted";

const FIND_ACCEPTED: &str = "
SELECT id, created_at, body_hmac FROM mcp_request
WHERE id = $1 OR (tenant = $2 AND idempotency_key = $3)
ORDER BY id = $1 DESC LIMIT 1";

const CANCEL_QUEUED: &str = "
WITH cancelled AS (
    UPDATE mcp_request
    SET status = 'cancelled', epoch = epoch + 1, cancel_at = mcp_now(), cancel_by = $2, finished_at = mcp_now()
    WHERE id = $1 AND status = 'queued'
    RETURNING id, epoch, finished_at, simulated
), logged AS (
    INSERT INTO mcp_event (run_id, epoch, seq, type, at, data)
    SELECT id, epoch, 1, 'run.cancelled', finished_at, CASE WHEN simulated THEN $4 ELSE $3 END FROM cancelled
), result AS (
    INSERT INTO mcp_result (run_id, status, finished_at) SELECT id, 'cancelled', finished_at FROM cancelled
)
SELECT epoch, finished_at, simulated FROM cancelled";

const CANCEL_RUNNING: &str = "
UPDATE mcp_request SET cancel_at = coalesce(cancel_at, mcp_now()), cancel_by = coalesce(cancel_by, $2)
WHERE id = $1 AND status = 'running' RETURNING id";

impl Postgres {
    async fn accept_batch(&self, runs: &[NewRun]) -> Result<Vec<AcceptOutcome>, LedgerError> {
        fn column<'a, T>(runs: &'a [NewRun], value: impl Fn(&'a NewRun) -> T) -> Vec<T> {
            runs.iter().map(value).collect()
        }
        let key = |run: &'_ NewRun| {
            run.idempotency
                .as_ref()
                .map(|idempotency| idempotency.key.clone())
        };
        let hmac = |run: &'_ NewRun| {
            run.idempotency
                .as_ref()
                .map(|idempotency| idempotency.body_hmac.clone())
        };
        let query = sqlx::query(ACCEPT)
            .bind(column(runs, |run| run.id.uuid()))
            .bind(column(runs, |run| run.kind.as_str()))
            .bind(column(runs, |run| run.tenant.as_str()))
            .bind(column(runs, |run| {
                run.user.as_ref().map(crate::domain::UserHash::as_str)
            }))
            .bind(column(runs, |run| run.class.as_str()))
            .bind(column(runs, |run| i16::from(run.priority.get())))
            .bind(column(runs, |run| run.task_type.as_str()))
            .bind(column(runs, |run| run.model.as_str()))
            .bind(column(runs, |run| run.on_interruption.as_str()))
            .bind(column(runs, |run| run.deadline.map(millis)))
            .bind(column(runs, key))
            .bind(column(runs, hmac))
            .bind(column(runs, |run| int(run.estimate.input_tokens)))
            .bind(column(runs, |run| int(run.estimate.output_tokens)))
            .bind(column(runs, |run| {
                run.estimate.cost_usd.map(crate::domain::Usd::nanos)
            }))
            .bind(column(runs, |run| run.trace_parent.as_deref()))
            .bind(column(runs, |run| run.simulated))
            .bind(column(runs, |run| run.spec.as_str()))
            .bind(column(runs, |run| run.metadata.as_deref()))
            .bind(column(runs, |run| run.queued_data().to_string()));
        let rows = self
            .within(async {
                let mut ride = self.accepting.enter(&self.pool).await?;
                let rows = query.fetch_all(&mut *ride).await;
                ride.end(&rows);
                rows
            })
            .await?;
        let mut created: std::collections::HashMap<Uuid, i64> =
            std::collections::HashMap::with_capacity(rows.len());
        for row in rows {
            created.insert(row.try_get(0)?, row.try_get(1)?);
        }
        let mut outcomes = Vec::with_capacity(runs.len());
        for run in runs {
            outcomes.push(match created.get(&run.id.uuid()) {
                Some(&at) => AcceptOutcome::Accepted {
                    created_at: Timestamp::from_millis(at),
                },
                None => self.accepted_before(run).await?,
            });
        }
        Ok(outcomes)
    }

    /// What stood in the way of an insert: the same run, or another one with the same key.
    async fn accepted_before(&self, run: &NewRun) -> Result<AcceptOutcome, LedgerError> {
        let key = run.idempotency.as_ref();
        let query = sqlx::query(FIND_ACCEPTED)
            .bind(run.id.uuid())
            .bind(run.tenant.as_str())
            .bind(key.map(|key| key.key.as_str()));
        let row: Option<PgRow> = self.within(query.fetch_optional(&self.pool)).await?;
        // It was removed between the two statements: the caller may try again.
        let row =
            row.ok_or_else(|| LedgerError::Unavailable("a run with the same key just went away".to_owned()))?;
        let id = RunId::from(row.try_get::<Uuid, _>(0)?);
        if id == run.id {
            return Ok(AcceptOutcome::Accepted {
                created_at: Timestamp::from_millis(row.try_get(1)?),
            });
        }
        let hmac: Option<Vec<u8>> = row.try_get(2)?;
        let same_body = hmac.as_deref() == key.map(|key| key.body_hmac.as_slice());
        Ok(if same_body {
            AcceptOutcome::Duplicate(id)
        } else {
            AcceptOutcome::KeyReused(id)
        })
    }
}

#[async_trait]
impl Submit for Postgres {
    async fn accept(&self, runs: &[NewRun]) -> Result<Vec<AcceptOutcome>, LedgerError> {
        match self.accept_batch(runs).await {
            Err(LedgerError::Refused(reason)) if runs.len() == 1 => Ok(vec![AcceptOutcome::Refused(reason)]),
            Err(LedgerError::Refused(_)) => {
                let mut outcomes = Vec::with_capacity(runs.len());
                for run in runs {
                    outcomes.push(match self.accept_batch(std::slice::from_ref(run)).await {
                        Ok(mut outcome) => outcome.remove(0),
                        Err(LedgerError::Refused(reason)) => AcceptOutcome::Refused(reason),
                        Err(error) => return Err(error),
                    });
                }
                Ok(outcomes)
            }
            outcomes => outcomes,
        }
    }

    async fn cancel(&self, run: RunId, by: &str) -> Result<CancelOutcome, LedgerError> {
        let event = Event::RunCancelled(RunCancelled { by: by.to_owned() });
        let (real, simulated) = (event.to_data(false), event.to_data(true));
        // The run may be claimed or given back between two statements; a few rounds settle it.
        for _ in 0..8 {
            let query = sqlx::query(CANCEL_QUEUED)
                .bind(run.uuid())
                .bind(by)
                .bind(&*real)
                .bind(&*simulated);
            if let Some(row) = self.within(query.fetch_optional(&self.pool)).await? {
                let data = if row.try_get(2)? { simulated } else { real };
                return Ok(CancelOutcome::Cancelled(LogEntry {
                    cursor: Cursor::new(super::count(row.try_get(0)?), 1),
                    kind: event.kind(),
                    at: Timestamp::from_millis(row.try_get(1)?),
                    data,
                }));
            }
            let query = sqlx::query(CANCEL_RUNNING).bind(run.uuid()).bind(by);
            if self.within(query.fetch_optional(&self.pool)).await?.is_some() {
                return Ok(CancelOutcome::Requested);
            }
            let query = sqlx::query("SELECT status FROM mcp_request WHERE id = $1").bind(run.uuid());
            let Some(row) = self.within(query.fetch_optional(&self.pool)).await? else {
                return Ok(CancelOutcome::Unknown);
            };
            let status: Status = row.try_get::<&str, _>(0)?.parse()?;
            if status.is_terminal() {
                return Ok(CancelOutcome::Ended(status));
            }
        }
        Err(LedgerError::Unavailable(
            "the run changes hands too fast to be cancelled".to_owned(),
        ))
    }
}
