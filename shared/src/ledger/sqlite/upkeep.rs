//! The duties: leases of duties, dead workers, deadlines, retention.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use uuid::Uuid;

use super::closing::{Fate, Open, Orphan, close};
use super::execute::Incarnation;
use super::{Sqlite, Transaction, bulk, decode, millis, now, read_clock};
use crate::domain::{RunId, WorkerId};
use crate::ledger::{Closed, LedgerError, Upkeep};

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
        let mut fates = Vec::new();
        for (open, orphan) in orphans(&mut transaction, worker).await? {
            fates.push((open, Fate::after_crash(orphan, max_crashes)));
        }
        let closed = close(&mut transaction, incarnation.now, fates).await?;
        transaction.commit().await?;
        Ok(closed)
    }

    async fn release(&self, worker: WorkerId, run: RunId, epoch: u32) -> Result<Option<Closed>, LedgerError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT simulated, cancel_by FROM mcp_request \
             WHERE id = ?1 AND status = 'running' AND worker_id = ?2 AND epoch = ?3",
        )
        .bind(run.uuid())
        .bind(worker.uuid())
        .bind(epoch)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let open = Open {
            run,
            epoch,
            simulated: row.try_get("simulated")?,
        };
        let fate = Fate::after_release(row.try_get("cancel_by")?);
        let now = read_clock(&mut transaction).await?;
        let closed = close(&mut transaction, now, vec![(open, fate)]).await?;
        transaction.commit().await?;
        Ok(closed.into_iter().next())
    }

    async fn expire_deadlines(&self, limit: u32) -> Result<Vec<Closed>, LedgerError> {
        let mut transaction = self.begin().await?;
        let now = read_clock(&mut transaction).await?;
        let rows = sqlx::query(
            "SELECT id, epoch, simulated FROM mcp_request INDEXED BY mcp_request_queued_deadline \
             WHERE status = 'queued' AND deadline_at <= ?1 ORDER BY deadline_at LIMIT ?2",
        )
        .bind(now.millis())
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut fates = Vec::with_capacity(rows.len());
        for row in &rows {
            fates.push((open(row)?, Fate::after_deadline()));
        }
        let closed = close(&mut transaction, now, fates).await?;
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
            " - ?1 ORDER BY finished_at LIMIT ?2) RETURNING id"
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

/// The runs of a dead worker.
async fn orphans(
    transaction: &mut Transaction,
    worker: WorkerId,
) -> Result<Vec<(Open, Orphan)>, LedgerError> {
    let rows = sqlx::query(
        "SELECT id, epoch, simulated, crashes, cancel_by, on_interruption, \
         EXISTS (SELECT 1 FROM mcp_event AS e WHERE e.run_id = r.id AND e.type = 'output.delta') AS has_output \
         FROM mcp_request AS r INDEXED BY mcp_request_held WHERE status = 'running' AND worker_id = ?1",
    )
    .bind(worker.uuid())
    .fetch_all(&mut **transaction)
    .await?;
    rows.iter()
        .map(|row| {
            let orphan = Orphan {
                cancel_by: row.try_get("cancel_by")?,
                crashes: row.try_get("crashes")?,
                on_interruption: decode::named(row, "on_interruption")?,
                has_output: row.try_get("has_output")?,
            };
            Ok((open(row)?, orphan))
        })
        .collect()
}

fn open(row: &sqlx::sqlite::SqliteRow) -> Result<Open, LedgerError> {
    Ok(Open {
        run: decode::run(row, "id")?,
        epoch: row.try_get("epoch")?,
        simulated: row.try_get("simulated")?,
    })
}
