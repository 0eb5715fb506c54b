//! What workers do: register, renew, claim, append. The single writer is the fence: whoever holds it sees an
//! incarnation alive until its own commit, and the reaper comes before or after, never between.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::bulk::{Change, To};
use super::closing::cancellation;
use super::{Sqlite, Transaction, bulk, decode, int, millis, now, read_clock};
use crate::domain::{
    AttemptStarted, Cursor, Event, LogEntry, RequeueReason, RunId, Status, Timestamp, WorkerId,
};
use crate::ledger::{
    Claimed, Committed, Execute, Held, LedgerError, NewWorker, Renewal, RunResult, Then, Write, WriteOutcome,
};

#[async_trait]
impl Execute for Sqlite {
    async fn register(&self, worker: &NewWorker, lease: Duration) -> Result<Timestamp, LedgerError> {
        let mut transaction = self.begin().await?;
        let now = read_clock(&mut transaction).await?;
        // Repeated: the lease begins anew. A dead incarnation stays dead, as its next renewal will tell it.
        sqlx::query(
            "INSERT INTO mcp_worker (id, name, status, slots, started_at, lease_until) \
             VALUES (?1, ?2, 'alive', ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until WHERE mcp_worker.status <> 'dead'",
        )
        .bind(worker.id.uuid())
        .bind(worker.name.as_str())
        .bind(int(worker.slots))
        .bind(now.millis())
        .bind(now.plus(lease).millis())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(now)
    }

    async fn renew(&self, worker: WorkerId, lease: Duration, draining: bool) -> Result<Renewal, LedgerError> {
        // Draining is for good, even if an older renewal arrives later. All rows are fetched, though there is one at
        // most: only a statement that was stepped to its end has committed and said so.
        let rows = sqlx::query(concat!(
            "UPDATE mcp_worker SET lease_until = ",
            now!(),
            " + ?2, status = CASE WHEN ?3 THEN 'draining' ELSE status END WHERE id = ?1 AND status <> 'dead' \
             RETURNING lease_until - ?2 AS now"
        ))
        .bind(worker.uuid())
        .bind(millis(lease))
        .bind(draining)
        .fetch_all(&self.write)
        .await?;
        rows.first().map_or(Ok(Renewal::Dead), |row| {
            Ok(Renewal::Renewed {
                now: decode::moment(row, "now")?,
            })
        })
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
        let mut transaction = self.begin().await?;
        let incarnation = Incarnation::look_up(&mut transaction, worker).await?;
        if !incarnation.may_claim() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(CLAIM)
            .bind(worker.uuid())
            .bind(incarnation.now.millis())
            .bind(bulk::ids(runs.iter().copied()))
            .bind(tenant_limit)
            .fetch_all(&mut *transaction)
            .await?;
        let claimed = rows
            .iter()
            .map(|row| claimed(row, worker, incarnation.now))
            .collect::<Result<Vec<_>, LedgerError>>()?;
        let entries: Vec<_> = claimed
            .iter()
            .map(|claimed| (claimed.id, &claimed.started))
            .collect();
        bulk::insert_entries(&mut transaction, &entries).await?;
        transaction.commit().await?;
        Ok(claimed)
    }

    async fn append(&self, worker: WorkerId, writes: &[Write]) -> Result<Vec<WriteOutcome>, LedgerError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let incarnation = Incarnation::look_up(&mut transaction, worker).await?;
        if incarnation.is_dead() {
            return Ok(vec![WriteOutcome::Fenced; writes.len()]);
        }
        let held = held_of(&mut transaction, worker, writes).await?;
        let overtaken = append_held(&mut transaction, incarnation.now, writes, &held).await?;
        transaction.commit().await?;
        let mut outcomes = vec![WriteOutcome::Fenced; writes.len()];
        for place in held.into_keys() {
            outcomes[place] = WriteOutcome::Committed;
        }
        for (place, entry) in overtaken {
            outcomes[place] = WriteOutcome::Overtaken(entry);
        }
        Ok(outcomes)
    }

    async fn committed(&self, writes: &[Write]) -> Result<Vec<Committed>, LedgerError> {
        let firsts: Vec<_> = writes
            .iter()
            .enumerate()
            .filter_map(|(place, write)| {
                let first = write.entries.first()?;
                Some((
                    place,
                    write.run.uuid().simple(),
                    first.cursor.epoch,
                    first.cursor.seq,
                ))
            })
            .collect();
        // On the writer's connection: the append in question may still be waiting for its disk.
        let found = sqlx::query(
            "SELECT j.value ->> 0 AS place FROM json_each(?1) AS j CROSS JOIN mcp_event AS e \
             ON e.run_id = unhex(j.value ->> 1) AND e.epoch = j.value ->> 2 AND e.seq = j.value ->> 3",
        )
        .bind(bulk::json(&firsts))
        .fetch_all(&self.write)
        .await?;
        let mut committed = vec![Committed::No; writes.len()];
        for row in &found {
            if let Some(committed) = committed.get_mut(decode::place(row)?) {
                *committed = Committed::Yes;
            }
        }
        Ok(committed)
    }

    async fn cancel_requests(&self, worker: WorkerId) -> Result<Vec<(RunId, String)>, LedgerError> {
        let rows = sqlx::query(
            "SELECT id, cancel_by FROM mcp_request INDEXED BY mcp_request_held \
             WHERE status = 'running' AND worker_id = ?1 AND cancel_at IS NOT NULL",
        )
        .bind(worker.uuid())
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| Ok((decode::run(row, "id")?, row.try_get("cancel_by")?)))
            .collect()
    }

    async fn held(&self, worker: WorkerId) -> Result<Vec<Held>, LedgerError> {
        // On the writer's connection: the claim in question may still be waiting for its disk.
        let rows = sqlx::query(
            "SELECT id, epoch FROM mcp_request INDEXED BY mcp_request_held WHERE status = 'running' AND worker_id = ?1",
        )
        .bind(worker.uuid())
        .fetch_all(&self.write)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Held {
                    run: decode::run(row, "id")?,
                    epoch: row.try_get("epoch")?,
                })
            })
            .collect()
    }
}

/// ?1 worker, ?2 now, ?3 ids, ?4 limit per tenant or NULL. The places inside the proposal count towards the limit in
/// its order, so a tenant's earlier runs go first.
pub(super) const CLAIM: &str = "\
WITH proposed AS (SELECT unhex(value) AS id, min(key) AS place FROM json_each(?3) GROUP BY value), \
ready AS ( \
  SELECT r.id, r.tenant, row_number() OVER (PARTITION BY r.tenant ORDER BY p.place) AS nth \
  FROM proposed AS p CROSS JOIN mcp_request AS r ON r.id = p.id \
  WHERE r.status = 'queued' AND r.not_before <= ?2 AND r.cancel_at IS NULL \
    AND (r.deadline_at IS NULL OR r.deadline_at > ?2)), \
running AS MATERIALIZED ( \
  SELECT tenant, (SELECT count(*) FROM mcp_request AS q INDEXED BY mcp_request_running \
                  WHERE q.status = 'running' AND q.tenant = t.tenant) AS runs \
  FROM (SELECT DISTINCT tenant FROM ready WHERE ?4 IS NOT NULL) AS t) \
UPDATE mcp_request SET status = 'running', worker_id = ?1, epoch = epoch + 1, attempts = attempts + 1, claimed_at = ?2 \
WHERE id IN (SELECT ready.id FROM ready LEFT JOIN running ON running.tenant = ready.tenant \
             WHERE ?4 IS NULL OR ready.nth + running.runs <= ?4) \
RETURNING id, kind, tenant, class, task_type, epoch, attempts, retries, on_interruption, deadline_at, created_at, spec, \
  trace_parent, simulated, \
  EXISTS (SELECT 1 FROM mcp_event AS e WHERE e.run_id = mcp_request.id AND e.type = 'output.delta') AS has_output";

/// A row of [`CLAIM`], with the entry that goes with it.
fn claimed(row: &SqliteRow, worker: WorkerId, now: Timestamp) -> Result<Claimed, LedgerError> {
    let epoch = row.try_get("epoch")?;
    let simulated = row.try_get("simulated")?;
    // Everything but `run.queued` belongs to earlier attempts: the rewind goes back to there.
    let void_after = row.try_get::<bool, _>("has_output")?.then_some(Cursor::QUEUED);
    let started = Event::AttemptStarted(AttemptStarted {
        attempt: row.try_get("attempts")?,
        worker,
        void_after,
    });
    let deadline: Option<i64> = row.try_get("deadline_at")?;
    Ok(Claimed {
        id: decode::run(row, "id")?,
        kind: decode::named(row, "kind")?,
        tenant: decode::tenant(row, "tenant")?,
        class: decode::named(row, "class")?,
        task_type: row.try_get("task_type")?,
        epoch,
        retries: row.try_get("retries")?,
        on_interruption: decode::named(row, "on_interruption")?,
        deadline: deadline.map(|deadline| Timestamp::from_millis(deadline).since(now)),
        created_at: decode::moment(row, "created_at")?,
        spec: row.try_get("spec")?,
        trace_parent: row.try_get("trace_parent")?,
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
    pub(super) async fn look_up(
        transaction: &mut Transaction,
        worker: WorkerId,
    ) -> Result<Self, LedgerError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            now!(),
            " AS now, w.status, w.lease_until FROM (SELECT 1) LEFT JOIN mcp_worker AS w ON w.id = ?1"
        ))
        .bind(worker.uuid())
        .fetch_one(&mut **transaction)
        .await?;
        Ok(Self {
            now: decode::moment(&row, "now")?,
            status: row.try_get("status")?,
            lease_until: row.try_get("lease_until")?,
        })
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

/// Which of the writes are for runs that are this worker's, by their place in the batch.
async fn held_of(
    transaction: &mut Transaction,
    worker: WorkerId,
    writes: &[Write],
) -> Result<HashMap<usize, HeldRun>, LedgerError> {
    let sought: Vec<_> = writes
        .iter()
        .enumerate()
        .map(|(place, write)| (place, write.run.uuid().simple(), write.epoch))
        .collect();
    let rows = sqlx::query(
        "SELECT j.value ->> 0 AS place, r.simulated, r.cancel_by FROM json_each(?2) AS j CROSS JOIN mcp_request AS r \
         ON r.id = unhex(j.value ->> 1) WHERE r.status = 'running' AND r.worker_id = ?1 AND r.epoch = j.value ->> 2",
    )
    .bind(worker.uuid())
    .bind(bulk::json(&sought))
    .fetch_all(&mut **transaction)
    .await?;
    rows.iter()
        .map(|row| {
            let held = HeldRun {
                simulated: row.try_get("simulated")?,
                cancel_by: row.try_get("cancel_by")?,
            };
            Ok((decode::place(row)?, held))
        })
        .collect()
}

/// Appends what is held. Answers the entries that ended runs which somebody had asked to cancel, by their place.
async fn append_held(
    transaction: &mut Transaction,
    now: Timestamp,
    writes: &[Write],
    held: &HashMap<usize, HeldRun>,
) -> Result<Vec<(usize, LogEntry)>, LedgerError> {
    let cancelled = RunResult::without_answer(Status::Cancelled, None);
    let mut cancellations = Vec::new();
    let mut entries = Vec::new();
    let mut changes = Vec::new();
    for (place, write) in writes.iter().enumerate() {
        let Some(run) = held.get(&place) else { continue };
        entries.extend(write.entries.iter().map(|entry| (write.run, entry)));
        let (epoch, to) = match (&write.then, &run.cancel_by) {
            (Then::Continue, _) => continue,
            (Then::Settle(result), _) => (write.epoch, To::End(result)),
            // Nobody may claim it any more, so it ends here.
            (Then::Requeue { .. }, Some(by)) => {
                cancellations.push((place, cancellation(write.epoch, by, run.simulated, now)));
                (write.epoch + 1, To::End(&cancelled))
            }
            (Then::Requeue { reason, not_before }, None) => {
                let retried = *reason == RequeueReason::ProviderFailed;
                (
                    write.epoch + 1,
                    To::Queue {
                        not_before: *not_before,
                        retried,
                    },
                )
            }
        };
        changes.push(Change {
            run: write.run,
            epoch,
            crashed: false,
            to,
        });
    }
    entries.extend(
        cancellations
            .iter()
            .map(|(place, entry)| (writes[*place].run, entry)),
    );
    bulk::insert_entries(transaction, &entries).await?;
    bulk::change(transaction, now, &changes).await?;
    Ok(cancellations)
}
