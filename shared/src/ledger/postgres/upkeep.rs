//! The duties on Postgres.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::execute::tenant;
use super::{Postgres, count, int, millis};
use crate::domain::{RunId, Timestamp, WorkerId};
use crate::ledger::upkeep::{Stranded, Verdict};
use crate::ledger::{Closed, LedgerError, Upkeep};

const HOLD_DUTY: &str = "
INSERT INTO mcp_duty AS duty (name, holder, lease_until) VALUES ($1, $2, mcp_now() + $3)
ON CONFLICT (name) DO UPDATE SET holder = $2, lease_until = mcp_now() + $3
WHERE duty.holder = $2 OR duty.lease_until < mcp_now()
RETURNING name";

/// Waits for the incarnation's writes under way; those that come later see a dead worker.
const LOCK_WORKER: &str = "
SELECT status <> 'dead' AND (NOT $2 OR lease_until < mcp_now()) FROM mcp_worker WHERE id = $1 FOR UPDATE";

const STRANDED: &str = "
SELECT id, tenant, class, epoch, crashes, on_interruption, cancel_by, simulated, mcp_now() AS now,
       EXISTS (SELECT 1 FROM mcp_event WHERE run_id = mcp_request.id AND type = 'output.delta') AS visible
FROM mcp_request WHERE worker_id = $1 AND status = 'running' AND ($2::uuid IS NULL OR (id = $2 AND epoch = $3))
ORDER BY id FOR UPDATE";

const EXPIRED: &str = "
SELECT id, tenant, class, epoch, crashes, on_interruption, cancel_by, simulated, mcp_now() AS now, false AS visible
FROM mcp_request WHERE status = 'queued' AND deadline_at IS NOT NULL AND deadline_at <= mcp_now()
ORDER BY deadline_at LIMIT $1 FOR UPDATE SKIP LOCKED";

const MOVE: &str = "
WITH verdict AS MATERIALIZED (
    SELECT * FROM UNNEST($1::uuid[], $2::int[], $3::text[], $4::int[], $5::bigint[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::bool[])
        AS verdict(id, epoch, status, crash, at, type, data, error_code, error_message, retryable)
), moved AS (
    UPDATE mcp_request AS run
    SET status = verdict.status, epoch = verdict.epoch, worker_id = NULL, crashes = run.crashes + verdict.crash,
        waits_until = NULL,
        not_before = CASE WHEN verdict.status = 'queued' THEN verdict.at ELSE run.not_before END,
        finished_at = CASE WHEN verdict.status = 'queued' THEN NULL ELSE verdict.at END
    FROM verdict WHERE run.id = ANY($1) AND run.id = verdict.id
), logged AS (
    INSERT INTO mcp_event (run_id, epoch, seq, type, at, data) SELECT id, epoch, 1, type, at, data FROM verdict
)
INSERT INTO mcp_result (run_id, status, error_code, error_message, retryable, finished_at)
SELECT id, status, error_code, error_message, retryable, at FROM verdict WHERE status <> 'queued'";

const FORGET: &str = "
WITH ended AS MATERIALIZED (
    SELECT id FROM mcp_request WHERE finished_at IS NOT NULL AND finished_at < $1
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
), results AS (
    DELETE FROM mcp_result WHERE run_id IN (SELECT id FROM ended)
), strays AS (
    DELETE FROM mcp_event_default WHERE run_id IN (SELECT id FROM ended)
)
DELETE FROM mcp_request WHERE id IN (SELECT id FROM ended)";

fn stranded(row: &PgRow) -> Result<Stranded, LedgerError> {
    Ok(Stranded {
        run: row.try_get::<Uuid, _>("id")?.into(),
        tenant: tenant(row.try_get("tenant")?)?,
        class: row.try_get::<&str, _>("class")?.parse()?,
        epoch: count(row.try_get("epoch")?),
        crashes: count(row.try_get("crashes")?),
        on_interruption: row.try_get::<&str, _>("on_interruption")?.parse()?,
        cancel_by: row.try_get("cancel_by")?,
        simulated: row.try_get("simulated")?,
        visible: row.try_get("visible")?,
        now: Timestamp::from_millis(row.try_get("now")?),
    })
}

/// Writes verdicts inside the caller's transaction.
async fn carry_out(connection: &mut PgConnection, verdicts: &[Verdict]) -> Result<(), sqlx::Error> {
    fn column<'a, T>(verdicts: &'a [Verdict], value: impl Fn(&'a Verdict) -> T) -> Vec<T> {
        verdicts.iter().map(value).collect()
    }
    if verdicts.is_empty() {
        return Ok(());
    }
    sqlx::query(MOVE)
        .bind(column(verdicts, |verdict| verdict.closed.run.uuid()))
        .bind(column(verdicts, |verdict| int(verdict.closed.entry.cursor.epoch)))
        .bind(column(verdicts, |verdict| verdict.status.as_str()))
        .bind(column(verdicts, |verdict| i32::from(verdict.crash)))
        .bind(column(verdicts, |verdict| verdict.closed.entry.at.millis()))
        .bind(column(verdicts, |verdict| verdict.closed.entry.kind.as_str()))
        .bind(column(verdicts, |verdict| &*verdict.closed.entry.data))
        .bind(column(verdicts, |verdict| {
            verdict.failure.as_ref().map(|failure| failure.code.as_str())
        }))
        .bind(column(verdicts, |verdict| {
            verdict.failure.as_ref().map(|failure| failure.message.as_str())
        }))
        .bind(column(verdicts, |verdict| {
            verdict.failure.as_ref().map(|failure| failure.retryable)
        }))
        .execute(connection)
        .await?;
    Ok(())
}

fn judge(rows: &[PgRow], verdict: impl Fn(Stranded) -> Verdict) -> Result<Vec<Verdict>, LedgerError> {
    rows.iter().map(|row| stranded(row).map(&verdict)).collect()
}

fn closed(verdicts: Vec<Verdict>) -> Vec<Closed> {
    verdicts.into_iter().map(|verdict| verdict.closed).collect()
}

/// A transaction's error, or one of reading what it returned.
fn as_sqlx(error: &LedgerError) -> sqlx::Error {
    sqlx::Error::Decode(error.to_string().into())
}

#[async_trait]
impl Upkeep for Postgres {
    async fn hold_duty(&self, name: &str, holder: Uuid, term: Duration) -> Result<bool, LedgerError> {
        let query = sqlx::query(HOLD_DUTY).bind(name).bind(holder).bind(millis(term));
        Ok(self.within(query.fetch_optional(&self.pool)).await?.is_some())
    }

    async fn lapsed_workers(&self) -> Result<Vec<WorkerId>, LedgerError> {
        let query =
            sqlx::query("SELECT id FROM mcp_worker WHERE status <> 'dead' AND lease_until < mcp_now()");
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        rows.iter()
            .map(|row| Ok(row.try_get::<Uuid, _>(0)?.into()))
            .collect()
    }

    async fn live_workers(&self) -> Result<Vec<WorkerId>, LedgerError> {
        let query = sqlx::query("SELECT id FROM mcp_worker WHERE status <> 'dead'");
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        rows.iter()
            .map(|row| Ok(row.try_get::<Uuid, _>(0)?.into()))
            .collect()
    }

    async fn reap(
        &self,
        worker: WorkerId,
        max_crashes: u32,
        only_lapsed: bool,
    ) -> Result<Vec<Closed>, LedgerError> {
        self.within(async {
            let mut connection = self.pool.acquire().await?;
            let mut transaction = connection.begin().await?;
            let lock = sqlx::query(LOCK_WORKER).bind(worker.uuid()).bind(only_lapsed);
            let found = lock.fetch_optional(&mut *transaction).await?;
            if !found.map(|row| row.try_get(0)).transpose()?.unwrap_or(false) {
                return Ok(Vec::new());
            }
            sqlx::query("UPDATE mcp_worker SET status = 'dead', lease_until = least(lease_until, mcp_now()) WHERE id = $1")
                .bind(worker.uuid())
                .execute(&mut *transaction)
                .await?;
            let query = sqlx::query(STRANDED)
                .bind(worker.uuid())
                .bind(None::<Uuid>)
                .bind(0);
            let rows = query.fetch_all(&mut *transaction).await?;
            let verdicts = judge(&rows, |stranded| stranded.crashed(max_crashes)).map_err(|error| as_sqlx(&error))?;
            carry_out(&mut transaction, &verdicts).await?;
            transaction.commit().await?;
            Ok(closed(verdicts))
        })
        .await
    }

    async fn release(&self, worker: WorkerId, run: RunId, epoch: u32) -> Result<Option<Closed>, LedgerError> {
        self.within(async {
            let mut connection = self.pool.acquire().await?;
            let mut transaction = connection.begin().await?;
            let query = sqlx::query(STRANDED)
                .bind(worker.uuid())
                .bind(run.uuid())
                .bind(int(epoch));
            let rows = query.fetch_all(&mut *transaction).await?;
            let verdicts = judge(&rows, Stranded::released).map_err(|error| as_sqlx(&error))?;
            carry_out(&mut transaction, &verdicts).await?;
            transaction.commit().await?;
            Ok(closed(verdicts).pop())
        })
        .await
    }

    async fn expire_deadlines(&self, limit: u32) -> Result<Vec<Closed>, LedgerError> {
        self.within(async {
            let mut connection = self.pool.acquire().await?;
            let mut transaction = connection.begin().await?;
            let rows = sqlx::query(EXPIRED)
                .bind(i64::from(limit))
                .fetch_all(&mut *transaction)
                .await?;
            let verdicts = judge(&rows, Stranded::expired).map_err(|error| as_sqlx(&error))?;
            carry_out(&mut transaction, &verdicts).await?;
            transaction.commit().await?;
            Ok(closed(verdicts))
        })
        .await
    }

    async fn prepare_partitions(&self) -> Result<(), LedgerError> {
        self.create_partitions().await
    }

    async fn forget(&self, keep: Duration, limit: u32) -> Result<u64, LedgerError> {
        let row = self
            .within(
                sqlx::query("SELECT mcp_now() - $1")
                    .bind(millis(keep))
                    .fetch_one(&self.pool),
            )
            .await?;
        let until = Timestamp::from_millis(row.try_get(0)?);
        let query = sqlx::query(FORGET).bind(until.millis()).bind(i64::from(limit));
        let removed = self.within(query.execute(&self.pool)).await?.rows_affected();
        self.drop_partitions(until).await?;
        Ok(removed)
    }

    async fn forget_workers(&self, keep: Duration) -> Result<u64, LedgerError> {
        let news = sqlx::query(
            "DELETE FROM mcp_breaker WHERE updated_at < mcp_now() - $1 AND open_until < mcp_now()",
        )
        .bind(millis(keep));
        self.within(news.execute(&self.pool)).await?;
        let query =
            sqlx::query("DELETE FROM mcp_worker WHERE status = 'dead' AND lease_until < mcp_now() - $1")
                .bind(millis(keep));
        Ok(self.within(query.execute(&self.pool)).await?.rows_affected())
    }
}
