//! Leases, claims and appends on Postgres.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row};
use uuid::Uuid;

use super::{Postgres, count, int, millis};
use crate::domain::{Cursor, EventType, LogEntry, RunId, Timestamp, WorkerId};
use crate::ledger::{
    Claimed, Committed, Execute, Held, LedgerError, NewWorker, Renewal, Write, WriteOutcome,
};

const REGISTER: &str = "
INSERT INTO mcp_worker (id, name, status, slots, started_at, lease_until)
VALUES ($1, $2, 'alive', $3, mcp_now(), mcp_now() + $4)
ON CONFLICT (id) DO UPDATE SET lease_until = mcp_now() + $4
RETURNING mcp_now()";

const RENEW: &str = "
UPDATE mcp_worker SET lease_until = mcp_now() + $2, status = CASE WHEN $3 THEN 'draining' ELSE status END
WHERE id = $1 AND status <> 'dead' RETURNING mcp_now()";

/// Taken before a claim with a tenant limit, in order, so that what follows counts running runs without a race.
const LOCK_TENANTS: &str = "
SELECT pg_advisory_xact_lock(hashtextextended('mcp_tenant:' || tenant, 0))
FROM (SELECT DISTINCT tenant FROM mcp_request WHERE id = ANY($1) ORDER BY tenant) AS tenants";

/// Rows are looked up by id and by nothing else: `OFFSET 0` keeps the other conditions outside of the look-up. On a young
/// table the planner believes every index to be as short as the primary key's, and where the queue was empty when the table
/// was last analysed, the index of what is queued to be shorter: it would read that whole index in the other's place, with
/// all it keeps of runs that are queued no more. What is picked is an array, so that it cannot be joined to the whole table
/// either.
pub(super) const CLAIM: &str = r#"
WITH me AS MATERIALIZED (
    SELECT id FROM mcp_worker WHERE id = $2 AND status = 'alive' AND lease_until > mcp_now() FOR KEY SHARE
), candidate AS MATERIALIZED (
    SELECT run.id, run.tenant, row_number() OVER (PARTITION BY run.tenant ORDER BY run.not_before, run.id) AS place
    FROM (SELECT DISTINCT UNNEST($1::uuid[]) AS id) AS hint CROSS JOIN LATERAL (
        SELECT id, tenant, status, not_before, cancel_at, deadline_at FROM mcp_request
        WHERE mcp_request.id = hint.id OFFSET 0
    ) AS run
    WHERE run.status = 'queued' AND run.not_before <= mcp_now() AND run.cancel_at IS NULL
      AND (run.deadline_at IS NULL OR run.deadline_at > mcp_now())
), allowed AS MATERIALIZED (
    SELECT id FROM candidate
    WHERE $3::bigint IS NULL OR place <= $3 - (
        SELECT count(*) FROM mcp_request AS other WHERE other.tenant = candidate.tenant AND other.status = 'running'
    )
), picked AS MATERIALIZED (
    SELECT run.id FROM allowed CROSS JOIN LATERAL (
        SELECT id, status, not_before, cancel_at, deadline_at FROM mcp_request
        WHERE mcp_request.id = allowed.id OFFSET 0 FOR UPDATE SKIP LOCKED
    ) AS run
    WHERE EXISTS (SELECT 1 FROM me)
      AND run.status = 'queued' AND run.not_before <= mcp_now() AND run.cancel_at IS NULL
      AND (run.deadline_at IS NULL OR run.deadline_at > mcp_now())
), claimed AS (
    UPDATE mcp_request AS run
    SET status = 'running', epoch = epoch + 1, attempts = attempts + 1, worker_id = $2, claimed_at = mcp_now()
    WHERE run.id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING run.id, kind, tenant, class, task_type, epoch, attempts, retries, waits_until, on_interruption, deadline_at,
              created_at, claimed_at, spec, trace_parent, simulated
), entry AS (
    SELECT claimed.*,
        '{"attempt":' || attempts || ',"worker":"' || $4::text || '"'
        || CASE WHEN epoch > 1 AND EXISTS (
               SELECT 1 FROM mcp_event WHERE run_id = claimed.id AND type = 'output.delta'
           ) THEN ',"void_after":"' || $5::text || '"' ELSE '' END
        || CASE WHEN simulated THEN ',"simulated":true}' ELSE '}' END AS data
    FROM claimed
), logged AS (
    INSERT INTO mcp_event (run_id, epoch, seq, type, at, data)
    SELECT id, epoch, 1, 'attempt.started', claimed_at, data FROM entry
)
SELECT id, kind, tenant, class, task_type, epoch, retries, waits_until, on_interruption,
       deadline_at - claimed_at AS left_ms, created_at, claimed_at, spec, trace_parent, simulated, data
FROM entry ORDER BY created_at, id"#;

const COMMITTED: &str = "
SELECT event.run_id, event.epoch, event.seq FROM mcp_event AS event
JOIN UNNEST($1::uuid[], $2::int[], $3::int[]) AS asked(run_id, epoch, seq)
  ON asked.run_id = event.run_id AND asked.epoch = event.epoch AND asked.seq = event.seq
WHERE event.run_id = ANY($1)";

fn claimed(row: &PgRow) -> Result<Claimed, LedgerError> {
    let epoch = count(row.try_get("epoch")?);
    let left: Option<i64> = row.try_get("left_ms")?;
    Ok(Claimed {
        id: row.try_get::<Uuid, _>("id")?.into(),
        kind: row.try_get::<&str, _>("kind")?.parse()?,
        tenant: tenant(row.try_get("tenant")?)?,
        class: row.try_get::<&str, _>("class")?.parse()?,
        task_type: row.try_get("task_type")?,
        epoch,
        retries: count(row.try_get("retries")?),
        waits_until: row
            .try_get::<Option<i64>, _>("waits_until")?
            .map(Timestamp::from_millis),
        on_interruption: row.try_get::<&str, _>("on_interruption")?.parse()?,
        deadline: left.map(|left| Duration::from_millis(u64::try_from(left).unwrap_or(0))),
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        spec: row.try_get::<Option<String>, _>("spec")?.unwrap_or_default(),
        trace_parent: row.try_get("trace_parent")?,
        simulated: row.try_get("simulated")?,
        started: LogEntry {
            cursor: Cursor::new(epoch, 1),
            kind: EventType::AttemptStarted,
            at: Timestamp::from_millis(row.try_get("claimed_at")?),
            data: row.try_get::<&str, _>("data")?.into(),
        },
    })
}

/// A tenant from the database.
pub(super) fn tenant(name: &str) -> Result<crate::domain::TenantId, LedgerError> {
    name.parse()
        .map_err(|error| LedgerError::Corrupt(format!("tenant `{name}`: {error}")))
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Claims while nobody else claims for the same tenants.
async fn claim_locked(
    connection: &mut PgConnection,
    lock: Query<'_>,
    claim: Query<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    lock.execute(&mut *transaction).await?;
    let rows = claim.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows)
}

#[async_trait]
impl Execute for Postgres {
    async fn register(&self, worker: &NewWorker, lease: Duration) -> Result<Timestamp, LedgerError> {
        let query = sqlx::query(REGISTER)
            .bind(worker.id.uuid())
            .bind(&worker.name)
            .bind(int(worker.slots))
            .bind(millis(lease));
        let row = self.within(query.fetch_one(&self.pool)).await?;
        Ok(Timestamp::from_millis(row.try_get(0)?))
    }

    async fn renew(&self, worker: WorkerId, lease: Duration, draining: bool) -> Result<Renewal, LedgerError> {
        let query = sqlx::query(RENEW)
            .bind(worker.uuid())
            .bind(millis(lease))
            .bind(draining);
        match self.within(query.fetch_optional(&self.pool)).await? {
            Some(row) => Ok(Renewal::Renewed {
                now: Timestamp::from_millis(row.try_get(0)?),
            }),
            None => Ok(Renewal::Dead),
        }
    }

    async fn claim(
        &self,
        worker: WorkerId,
        runs: &[RunId],
        tenant_limit: Option<u32>,
    ) -> Result<Vec<Claimed>, LedgerError> {
        let ids: Vec<Uuid> = runs.iter().map(|run| run.uuid()).collect();
        let query = sqlx::query(CLAIM)
            .bind(&ids)
            .bind(worker.uuid())
            .bind(tenant_limit.map(i64::from))
            .bind(worker.to_string())
            .bind(Cursor::QUEUED.to_string());
        let rows = self
            .within(async {
                let mut ride = self.claiming.enter(&self.pool).await?;
                let rows = match tenant_limit {
                    None => query.fetch_all(&mut *ride).await,
                    Some(_) => {
                        let lock = sqlx::query(LOCK_TENANTS).bind(&ids);
                        claim_locked(&mut ride, lock, query).await
                    }
                };
                ride.end(&rows);
                rows
            })
            .await?;
        rows.iter().map(claimed).collect()
    }

    async fn append(&self, worker: WorkerId, writes: &[Write]) -> Result<Vec<WriteOutcome>, LedgerError> {
        self.write(worker, writes).await
    }

    async fn committed(&self, writes: &[Write]) -> Result<Vec<Committed>, LedgerError> {
        let first = |write: &Write| write.entries.first().map_or(Cursor::START, |entry| entry.cursor);
        let key = |write: &Write| (write.run.uuid(), int(first(write).epoch), int(first(write).seq));
        let (mut runs, mut epochs, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
        for (run, epoch, seq) in writes.iter().map(key) {
            runs.push(run);
            epochs.push(epoch);
            seqs.push(seq);
        }
        let query = sqlx::query(COMMITTED).bind(runs).bind(epochs).bind(seqs);
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        let mut found: HashSet<(Uuid, i32, i32)> = HashSet::with_capacity(rows.len());
        for row in rows {
            found.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        }
        Ok(writes
            .iter()
            .map(|write| {
                if found.contains(&key(write)) {
                    Committed::Yes
                } else {
                    Committed::No
                }
            })
            .collect())
    }

    async fn cancel_requests(&self, worker: WorkerId) -> Result<Vec<(RunId, String)>, LedgerError> {
        let query = sqlx::query(
            "SELECT id, cancel_by FROM mcp_request
             WHERE worker_id = $1 AND status = 'running' AND cancel_at IS NOT NULL",
        )
        .bind(worker.uuid());
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        rows.iter()
            .map(|row| Ok((row.try_get::<Uuid, _>(0)?.into(), row.try_get(1)?)))
            .collect()
    }

    async fn held(&self, worker: WorkerId) -> Result<Vec<Held>, LedgerError> {
        let query =
            sqlx::query("SELECT id, epoch FROM mcp_request WHERE worker_id = $1 AND status = 'running'")
                .bind(worker.uuid());
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        let held = |row: &PgRow| {
            Ok(Held {
                run: row.try_get::<Uuid, _>(0)?.into(),
                epoch: count(row.try_get(1)?),
            })
        };
        rows.iter().map(held).collect()
    }
}
