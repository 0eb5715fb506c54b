//! The duties: leases of duties, dead workers, deadlines, retention.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{CachedStatement, Connection, Params, params};
use uuid::Uuid;

use super::closing::{carry_out, stranded};
use super::execute::Incarnation;
use super::{Sqlite, decode, millis, now, read_clock, rows};
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
        let name = name.to_owned();
        self.writer
            .run(move |connection| {
                let mut hold = connection.prepare_cached(HOLD_DUTY)?;
                Ok(hold.execute(params![name, holder, millis(term)])? > 0)
            })
            .await
    }

    async fn lapsed_workers(&self) -> Result<Vec<WorkerId>, LedgerError> {
        self.workers(concat!(
            "SELECT id FROM mcp_worker WHERE status <> 'dead' AND lease_until <= ",
            now!()
        ))
        .await
    }

    async fn live_workers(&self) -> Result<Vec<WorkerId>, LedgerError> {
        self.workers("SELECT id FROM mcp_worker WHERE status <> 'dead'")
            .await
    }

    async fn reap(
        &self,
        worker: WorkerId,
        max_crashes: u32,
        only_lapsed: bool,
    ) -> Result<Vec<Closed>, LedgerError> {
        self.writer
            .run(move |connection| reap(connection, worker, max_crashes, only_lapsed))
            .await
    }

    async fn release(&self, worker: WorkerId, run: RunId, epoch: u32) -> Result<Option<Closed>, LedgerError> {
        self.writer
            .run(move |connection| {
                let now = read_clock(connection)?;
                let lost = &mut connection.prepare_cached(LOST)?;
                let params = params![run.uuid(), worker.uuid(), epoch];
                let verdicts = judge(lost, params, now, Stranded::released)?;
                Ok(carry_out(connection, now, verdicts)?.into_iter().next())
            })
            .await
    }

    async fn expire_deadlines(&self, limit: u32) -> Result<Vec<Closed>, LedgerError> {
        self.writer
            .run(move |connection| {
                let now = read_clock(connection)?;
                let overdue = &mut connection.prepare_cached(OVERDUE)?;
                let verdicts = judge(overdue, params![now.millis(), limit], now, Stranded::expired)?;
                carry_out(connection, now, verdicts)
            })
            .await
    }

    async fn prepare_partitions(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn forget(&self, keep: Duration, limit: u32) -> Result<u64, LedgerError> {
        self.writer
            .run(move |connection| {
                let forget = &mut connection.prepare_cached(FORGET)?;
                let gone = decode::all(forget, params![millis(keep), limit], |row| decode::run(row, "id"))?;
                for run in &gone {
                    rows::delete_content(connection, *run)?;
                }
                Ok(gone.len() as u64)
            })
            .await
    }

    async fn forget_workers(&self, keep: Duration) -> Result<u64, LedgerError> {
        self.writer
            .run(move |connection| {
                let keep = [millis(keep)];
                connection.prepare_cached(FORGET_BREAKERS)?.execute(keep)?;
                Ok(connection.prepare_cached(FORGET_WORKERS)?.execute(keep)? as u64)
            })
            .await
    }
}

impl Sqlite {
    async fn workers(&self, sql: &'static str) -> Result<Vec<WorkerId>, LedgerError> {
        self.readers
            .run(move |connection| {
                decode::all(&mut connection.prepare_cached(sql)?, [], |row| {
                    decode::worker(row, "id")
                })
            })
            .await
    }
}

/// ?1 duty, ?2 holder, ?3 term.
const HOLD_DUTY: &str = concat!(
    "INSERT INTO mcp_duty (name, holder, lease_until) VALUES (?1, ?2, ",
    now!(),
    " + ?3) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until \
     WHERE mcp_duty.holder = excluded.holder OR mcp_duty.lease_until <= ",
    now!()
);

/// ?1 worker.
pub(super) const STRANDED: &str = concat!(
    "SELECT ",
    stranded_columns!(),
    " FROM mcp_request AS r INDEXED BY mcp_request_held WHERE r.status = 'running' AND r.worker_id = ?1"
);

/// ?1 run, ?2 worker, ?3 epoch.
pub(super) const LOST: &str = concat!(
    "SELECT ",
    stranded_columns!(),
    " FROM mcp_request AS r WHERE r.id = ?1 AND r.status = 'running' AND r.worker_id = ?2 AND r.epoch = ?3"
);

/// ?1 now, ?2 how many.
pub(super) const OVERDUE: &str = concat!(
    "SELECT ",
    stranded_columns!(),
    " FROM mcp_request AS r INDEXED BY mcp_request_queued_deadline \
     WHERE r.status = 'queued' AND r.deadline_at <= ?1 ORDER BY r.deadline_at LIMIT (?2 + 0)"
);

/// ?1 how long runs are kept, ?2 how many.
pub(super) const FORGET: &str = concat!(
    "DELETE FROM mcp_request WHERE id IN (SELECT id FROM mcp_request INDEXED BY mcp_request_finished \
     WHERE finished_at <= ",
    now!(),
    " - ?1 ORDER BY finished_at LIMIT (?2 + 0)) RETURNING id"
);

/// ?1 how long news is kept.
const FORGET_BREAKERS: &str = concat!(
    "DELETE FROM mcp_breaker WHERE updated_at <= ",
    now!(),
    " - ?1 AND open_until <= ",
    now!()
);

/// ?1 how long the dead are kept.
const FORGET_WORKERS: &str = concat!(
    "DELETE FROM mcp_worker WHERE status = 'dead' AND lease_until <= ",
    now!(),
    " - ?1"
);

fn reap(
    connection: &Connection,
    worker: WorkerId,
    max_crashes: u32,
    only_lapsed: bool,
) -> Result<Vec<Closed>, LedgerError> {
    let incarnation = Incarnation::look_up(connection, worker)?;
    if incarnation.is_dead() || (only_lapsed && !incarnation.has_lapsed()) {
        return Ok(Vec::new());
    }
    // The lease of a dead one tells since when it is dead.
    connection
        .prepare_cached(
            "UPDATE mcp_worker SET status = 'dead', lease_until = min(lease_until, ?2) WHERE id = ?1",
        )?
        .execute(params![worker.uuid(), incarnation.now.millis()])?;
    let stranded = &mut connection.prepare_cached(STRANDED)?;
    let verdicts = judge(stranded, [worker.uuid()], incarnation.now, |stranded| {
        stranded.crashed(max_crashes)
    })?;
    carry_out(connection, incarnation.now, verdicts)
}

fn judge(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    now: Timestamp,
    verdict: impl Fn(Stranded) -> Verdict,
) -> Result<Vec<Verdict>, LedgerError> {
    decode::all(statement, params, |row| stranded(row, now).map(&verdict))
}
