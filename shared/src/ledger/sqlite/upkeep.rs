//! The duties: leases of duties, dead workers, deadlines, retention.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::closing::{carry_out, stranded};
use super::execute::Incarnation;
use super::{Sqlite, bulk, decode, millis, now, read_clock};
use crate::domain::{RunId, Timestamp, WorkerId};
use crate::ledger::upkeep::{Stranded, Verdict};
use crate::ledger::{Closed, LedgerError, Upkeep};

/// What [`stranded`] reads, of `mcp_request AS r`.
macro_rules! stranded_columns {
    () => {
        "r.id, r.tenant, r.class, r.epoch, r.crashes, r.on_interruption, r.cancel_by, r.simulated, EXISTS ( \
         SELECT 1 FROM mcp_event AS e WHERE e.run_id = r.id AND e.type = 'output.delta') AS visible"
    };
}

#[async_trait]
impl Upkeep for Sqlite {
    async fn hold_duty(&self, name: &str, holder: Uuid, term: Duration) -> Result<bool, LedgerError> {
        let done = sqlx::query(concat!(
            "INSERT INTO mcp_duty (name, holder, lease_until) VALUES (?1, ?2, ",
            now!(),
            " + ?3) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until \
             WHERE mcp_duty.holder = excluded.holder OR mcp_duty.lease_until <= ",
            now!()
        ))
        .bind(name)
        .bind(holder)
        .bind(millis(term))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn lapsed_workers(&self) -> Result<Vec<WorkerId>, LedgerError> {
        let rows = sqlx::query(concat!(
            "SELECT id FROM mcp_worker WHERE status <> 'dead' AND lease_until <= ",
            now!()
        ))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| decode::worker(row, "id")).collect()
    }

    async fn live_workers(&self) -> Result<Vec<WorkerId>, LedgerError> {
        let rows = sqlx::query("SELECT id FROM mcp_worker WHERE status <> 'dead'")
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(|row| decode::worker(row, "id")).collect()
    }

    async fn reap(
        &self,
        worker: WorkerId,
        max_crashes: u32,
        only_lapsed: bool,
    ) -> Result<Vec<Closed>, LedgerError> {
        let mut transaction = self.begin().await?;
        let incarnation = Incarnation::look_up(&mut transaction, worker).await?;
        if incarnation.is_dead() || (only_lapsed && !incarnation.has_lapsed()) {
            return Ok(Vec::new());
        }
        // The lease of a dead one tells since when it is dead.
        sqlx::query(
            "UPDATE mcp_worker SET status = 'dead', lease_until = min(lease_until, ?2) WHERE id = ?1",
        )
        .bind(worker.uuid())
        .bind(incarnation.now.millis())
        .execute(&mut *transaction)
        .await?;
        let rows = sqlx::query(concat!(
            "SELECT ",
            stranded_columns!(),
            " FROM mcp_request AS r INDEXED BY mcp_request_held WHERE r.status = 'running' AND r.worker_id = ?1"
        ))
        .bind(worker.uuid())
        .fetch_all(&mut *transaction)
        .await?;
        let verdicts = judge(&rows, incarnation.now, |stranded| stranded.crashed(max_crashes))?;
        let closed = carry_out(&mut transaction, incarnation.now, verdicts).await?;
        transaction.commit().await?;
        Ok(closed)
    }

    async fn release(&self, worker: WorkerId, run: RunId, epoch: u32) -> Result<Option<Closed>, LedgerError> {
        let mut transaction = self.begin().await?;
        let now = read_clock(&mut transaction).await?;
        let rows = sqlx::query(concat!(
            "SELECT ",
            stranded_columns!(),
            " FROM mcp_request AS r WHERE r.id = ?1 AND r.status = 'running' AND r.worker_id = ?2 AND r.epoch = ?3"
        ))
        .bind(run.uuid())
        .bind(worker.uuid())
        .bind(epoch)
        .fetch_all(&mut *transaction)
        .await?;
        let closed = carry_out(&mut transaction, now, judge(&rows, now, Stranded::released)?).await?;
        transaction.commit().await?;
        Ok(closed.into_iter().next())
    }

    async fn expire_deadlines(&self, limit: u32) -> Result<Vec<Closed>, LedgerError> {
        let mut transaction = self.begin().await?;
        let now = read_clock(&mut transaction).await?;
        let rows = sqlx::query(concat!(
            "SELECT ",
            stranded_columns!(),
            " FROM mcp_request AS r INDEXED BY mcp_request_queued_deadline \
             WHERE r.status = 'queued' AND r.deadline_at <= ?1 ORDER BY r.deadline_at LIMIT (?2 + 0)"
        ))
        .bind(now.millis())
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        let closed = carry_out(&mut transaction, now, judge(&rows, now, Stranded::expired)?).await?;
        transaction.commit().await?;
        Ok(closed)
    }

    async fn prepare_partitions(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn forget(&self, keep: Duration, limit: u32) -> Result<u64, LedgerError> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query(concat!(
            "DELETE FROM mcp_request WHERE id IN (SELECT id FROM mcp_request INDEXED BY mcp_request_finished \
             WHERE finished_at <= ",
            now!(),
            " - ?1 ORDER BY finished_at LIMIT (?2 + 0)) RETURNING id"
        ))
        .bind(millis(keep))
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        let gone = rows
            .iter()
            .map(|row| decode::run(row, "id"))
            .collect::<Result<Vec<_>, _>>()?;
        bulk::delete_content(&mut transaction, &gone).await?;
        transaction.commit().await?;
        Ok(gone.len() as u64)
    }

    async fn forget_workers(&self, keep: Duration) -> Result<u64, LedgerError> {
        let done = sqlx::query(concat!(
            "DELETE FROM mcp_worker WHERE status = 'dead' AND lease_until <= ",
            now!(),
            " - ?1"
        ))
        .bind(millis(keep))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected())
    }
}

fn judge(
    rows: &[SqliteRow],
    now: Timestamp,
    verdict: impl Fn(Stranded) -> Verdict,
) -> Result<Vec<Verdict>, LedgerError> {
    rows.iter().map(|row| stranded(row, now).map(&verdict)).collect()
}
