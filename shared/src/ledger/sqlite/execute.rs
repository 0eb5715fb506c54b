//! What workers do: register, renew, claim, append. The single writer is the fence: whoever holds it sees an
//! incarnation alive until its own commit, and the reaper comes before or after, never between.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::closing::cancellation;
use super::rows::{Change, To};
use super::{Sqlite, decode, int, millis, now, read_clock, rows, usage};
use crate::domain::{AttemptStarted, Cursor, Event, LogEntry, RunId, Status, Timestamp, WorkerId};
use crate::ledger::{
    Claimed, Committed, Execute, Held, LedgerError, NewWorker, Renewal, RunResult, Then, Write, WriteOutcome,
};

#[async_trait]
impl Execute for Sqlite {
    async fn register(&self, worker: &NewWorker, lease: Duration) -> Result<Timestamp, LedgerError> {
        let worker = worker.clone();
        self.writer
            .run(move |connection| {
                let now = read_clock(connection)?;
                connection.prepare_cached(REGISTER)?.execute(params![
                    worker.id.uuid(),
                    worker.name,
                    int(worker.slots),
                    now.millis(),
                    now.plus(lease).millis(),
                ])?;
                Ok(now)
            })
            .await
    }

    async fn renew(&self, worker: WorkerId, lease: Duration, draining: bool) -> Result<Renewal, LedgerError> {
        self.writer
            .run(move |connection| {
                let renew = &mut connection.prepare_cached(RENEW)?;
                let params = params![worker.uuid(), millis(lease), draining];
                let renewed = decode::all(renew, params, |row| decode::moment(row, "now"))?;
                Ok(match *renewed {
                    [now, ..] => Renewal::Renewed { now },
                    [] => Renewal::Dead,
                })
            })
            .await
    }

    async fn claim(
        &self,
        worker: WorkerId,
        runs: &[RunId],
        tenant_limit: Option<u32>,
    ) -> Result<Vec<Claimed>, LedgerError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let runs = runs.to_vec();
        self.writer
            .run(move |connection| claim(connection, worker, &runs, tenant_limit))
            .await
    }

    async fn append(&self, worker: WorkerId, writes: &[Write]) -> Result<Vec<WriteOutcome>, LedgerError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let writes = writes.to_vec();
        self.writer
            .run(move |connection| append(connection, worker, &writes))
            .await
    }

    async fn committed(&self, writes: &[Write]) -> Result<Vec<Committed>, LedgerError> {
        let firsts: Vec<_> = writes
            .iter()
            .map(|write| Some((write.run, write.entries.first()?.cursor)))
            .collect();
        // By the writer: the append in question may still be waiting for its turn, or for its disk.
        self.writer
            .run(move |connection| {
                let mut entry = connection.prepare_cached(HAS_ENTRY)?;
                let mut committed = Vec::with_capacity(firsts.len());
                for first in firsts {
                    let is_there = match first {
                        Some((run, cursor)) => entry.exists(params![run.uuid(), cursor.epoch, cursor.seq])?,
                        None => false,
                    };
                    committed.push(if is_there { Committed::Yes } else { Committed::No });
                }
                Ok(committed)
            })
            .await
    }

    async fn cancel_requests(&self, worker: WorkerId) -> Result<Vec<(RunId, String)>, LedgerError> {
        self.readers
            .run(move |connection| {
                decode::all(
                    &mut connection.prepare_cached(CANCEL_REQUESTS)?,
                    [worker.uuid()],
                    |row| Ok((decode::run(row, "id")?, row.get("cancel_by")?)),
                )
            })
            .await
    }

    async fn held(&self, worker: WorkerId) -> Result<Vec<Held>, LedgerError> {
        // By the writer: the claim in question may still be waiting for its turn, or for its disk.
        self.writer
            .run(move |connection| {
                decode::all(&mut connection.prepare_cached(HELD)?, [worker.uuid()], |row| {
                    Ok(Held {
                        run: decode::run(row, "id")?,
                        epoch: row.get("epoch")?,
                    })
                })
            })
            .await
    }
}

/// ?1 worker, ?2 name, ?3 slots, ?4 now, ?5 end of the lease. Repeated: the lease begins anew. A dead incarnation stays
/// dead, as its next renewal will tell it.
const REGISTER: &str = "\
INSERT INTO mcp_worker (id, name, status, slots, started_at, lease_until) VALUES (?1, ?2, 'alive', ?3, ?4, ?5) \
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until WHERE mcp_worker.status <> 'dead'";

/// ?1 worker, ?2 lease, ?3 draining. Draining is for good, even if an older renewal arrives later.
const RENEW: &str = concat!(
    "UPDATE mcp_worker SET lease_until = ",
    now!(),
    " + ?2, status = CASE WHEN ?3 THEN 'draining' ELSE status END WHERE id = ?1 AND status <> 'dead' \
     RETURNING lease_until - ?2 AS now"
);

/// ?1 run, ?2 epoch, ?3 seq.
pub(super) const HAS_ENTRY: &str = "SELECT 1 FROM mcp_event WHERE run_id = ?1 AND epoch = ?2 AND seq = ?3";

/// ?1 worker.
pub(super) const CANCEL_REQUESTS: &str = "SELECT id, cancel_by FROM mcp_request INDEXED BY mcp_request_held \
     WHERE status = 'running' AND worker_id = ?1 AND cancel_at IS NOT NULL";

/// ?1 worker.
pub(super) const HELD: &str = "SELECT id, epoch FROM mcp_request INDEXED BY mcp_request_held WHERE status = 'running' AND worker_id = ?1";

/// ?1 worker, ?2 now, ?3 run, ?4 limit per tenant or NULL.
pub(super) const CLAIM: &str = "\
UPDATE mcp_request SET status = 'running', worker_id = ?1, epoch = epoch + 1, attempts = attempts + 1, claimed_at = ?2 \
WHERE id = ?3 AND status = 'queued' AND not_before <= ?2 AND cancel_at IS NULL \
  AND (deadline_at IS NULL OR deadline_at > ?2) \
  AND (?4 IS NULL OR ?4 > (SELECT count(*) FROM mcp_request AS q INDEXED BY mcp_request_running \
                           WHERE q.status = 'running' AND q.tenant = mcp_request.tenant)) \
RETURNING id, kind, tenant, class, task_type, epoch, attempts, retries, waits_until, on_interruption, deadline_at, \
  created_at, spec, trace_parent, simulated, \
  EXISTS (SELECT 1 FROM mcp_event AS e WHERE e.run_id = mcp_request.id AND e.type = 'output.delta') AS has_output";

/// In the order of the proposal, so that a tenant's earlier runs fill its room first.
fn claim(
    connection: &Connection,
    worker: WorkerId,
    runs: &[RunId],
    tenant_limit: Option<u32>,
) -> Result<Vec<Claimed>, LedgerError> {
    let incarnation = Incarnation::look_up(connection, worker)?;
    if !incarnation.may_claim() {
        return Ok(Vec::new());
    }
    let now = incarnation.now;
    let mut granted = Vec::with_capacity(runs.len());
    let claim = &mut connection.prepare_cached(CLAIM)?;
    for run in runs {
        let params = params![worker.uuid(), now.millis(), run.uuid(), tenant_limit];
        for claimed in decode::all(claim, params, |row| claimed(row, worker, now))? {
            rows::insert_entry(connection, claimed.id, &claimed.started)?;
            granted.push(claimed);
        }
    }
    Ok(granted)
}

/// A row of [`CLAIM`], with the entry that goes with it.
fn claimed(row: &Row<'_>, worker: WorkerId, now: Timestamp) -> Result<Claimed, LedgerError> {
    let epoch = row.get("epoch")?;
    let simulated = row.get("simulated")?;
    // Everything but `run.queued` belongs to earlier attempts: the rewind goes back to there.
    let void_after = row.get::<_, bool>("has_output")?.then_some(Cursor::QUEUED);
    let started = Event::AttemptStarted(AttemptStarted {
        attempt: row.get("attempts")?,
        worker,
        void_after,
    });
    let deadline: Option<i64> = row.get("deadline_at")?;
    Ok(Claimed {
        id: decode::run(row, "id")?,
        kind: decode::named(row, "kind")?,
        tenant: decode::tenant(row, "tenant")?,
        class: decode::named(row, "class")?,
        task_type: row.get("task_type")?,
        epoch,
        retries: row.get("retries")?,
        waits_until: row
            .get::<_, Option<i64>>("waits_until")?
            .map(Timestamp::from_millis),
        on_interruption: decode::named(row, "on_interruption")?,
        deadline: deadline.map(|deadline| Timestamp::from_millis(deadline).since(now)),
        created_at: decode::moment(row, "created_at")?,
        spec: row.get("spec")?,
        trace_parent: row.get("trace_parent")?,
        simulated,
        started: LogEntry {
            cursor: Cursor::new(epoch, 1),
            kind: started.kind(),
            at: now,
            data: started.to_data(simulated),
        },
    })
}

/// An incarnation as its transaction sees it.
pub(super) struct Incarnation {
    /// Database time.
    pub(super) now: Timestamp,
    status: Option<String>,
    lease_until: Option<i64>,
}

impl Incarnation {
    pub(super) fn look_up(connection: &Connection, worker: WorkerId) -> Result<Self, LedgerError> {
        connection
            .prepare_cached(INCARNATION)?
            .query_one([worker.uuid()], |row| {
                Ok(Self {
                    now: Timestamp::from_millis(row.get("now")?),
                    status: row.get("status")?,
                    lease_until: row.get("lease_until")?,
                })
            })
            .map_err(LedgerError::from)
    }

    /// Dead, or never heard of.
    pub(super) fn is_dead(&self) -> bool {
        self.status.as_deref().is_none_or(|status| status == "dead")
    }

    /// Whether its lease is over.
    pub(super) fn has_lapsed(&self) -> bool {
        self.lease_until.is_none_or(|until| until <= self.now.millis())
    }

    fn may_claim(&self) -> bool {
        self.status.as_deref() == Some("alive") && !self.has_lapsed()
    }
}

/// A run that is this worker's in the epoch it says.
struct HeldRun {
    simulated: bool,
    cancel_by: Option<String>,
}

/// ?1 worker; one row at least, for the time.
pub(super) const INCARNATION: &str = concat!(
    "SELECT ",
    now!(),
    " AS now, w.status, w.lease_until FROM (SELECT 1) LEFT JOIN mcp_worker AS w ON w.id = ?1"
);

/// ?1 run, ?2 worker, ?3 epoch.
pub(super) const IS_HELD: &str = "SELECT simulated, cancel_by FROM mcp_request \
     WHERE id = ?1 AND status = 'running' AND worker_id = ?2 AND epoch = ?3";

fn append(
    connection: &Connection,
    worker: WorkerId,
    writes: &[Write],
) -> Result<Vec<WriteOutcome>, LedgerError> {
    let incarnation = Incarnation::look_up(connection, worker)?;
    if incarnation.is_dead() {
        return Ok(vec![WriteOutcome::Fenced; writes.len()]);
    }
    // First who holds what, as it was before any of these writes.
    let mut held = Vec::with_capacity(writes.len());
    let mut is_held = connection.prepare_cached(IS_HELD)?;
    for write in writes {
        let params = params![write.run.uuid(), worker.uuid(), write.epoch];
        held.push(decode::optional(&mut is_held, params, |row| {
            Ok(HeldRun {
                simulated: row.get("simulated")?,
                cancel_by: row.get("cancel_by")?,
            })
        })?);
    }
    let mut outcomes = Vec::with_capacity(writes.len());
    for (write, held) in writes.iter().zip(held) {
        outcomes.push(match held {
            None => WriteOutcome::Fenced,
            Some(held) => append_held(connection, incarnation.now, write, &held)?,
        });
    }
    Ok(outcomes)
}

fn append_held(
    connection: &Connection,
    now: Timestamp,
    write: &Write,
    held: &HeldRun,
) -> Result<WriteOutcome, LedgerError> {
    for entry in &write.entries {
        rows::insert_entry(connection, write.run, entry)?;
    }
    for call in &write.usage {
        usage::insert(connection, write.run, write.epoch, call)?;
    }
    let mut outcome = WriteOutcome::Committed;
    let cancelled = RunResult::without_answer(Status::Cancelled, None);
    let (epoch, to) = match (&write.then, &held.cancel_by) {
        (Then::Continue, _) => return Ok(outcome),
        (Then::Settle(result), _) => (write.epoch, To::End(result)),
        // Nobody may claim it any more, so it ends here.
        (Then::Requeue { .. }, Some(by)) => {
            let entry = cancellation(write.epoch, by, held.simulated, now);
            rows::insert_entry(connection, write.run, &entry)?;
            outcome = WriteOutcome::Overtaken(entry);
            (write.epoch + 1, To::End(&cancelled))
        }
        (
            Then::Requeue {
                not_before,
                failed_calls,
                waits_until,
                ..
            },
            None,
        ) => (
            write.epoch + 1,
            To::Queue {
                not_before: *not_before,
                failed_calls: *failed_calls,
                waits_until: *waits_until,
            },
        ),
    };
    let change = Change {
        run: write.run,
        epoch,
        crashed: false,
        to,
    };
    rows::change(connection, now, &change)?;
    Ok(outcome)
}
