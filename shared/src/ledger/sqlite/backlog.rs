//! Proposing work from the queue: a loose scan of the partial index `mcp_request_ready` (class, tenant, not_before,
//! id), which leaps from tenant to tenant. What a proposal costs depends on how much is asked for, never on how many
//! runs a tenant has queued.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{Sqlite, decode, now, rows};
use crate::domain::{Class, RunId, TenantId};
use crate::ledger::{Backlog, LedgerError, QueuedRun, ReadyRun};

/// Runs looked at for each one asked for. With few tenants one may have to fill the places of another that has little;
/// with many, this keeps their sum small.
const DEPTH: u32 = 4;

/// Sorts before and after every tenant (see [`TenantId`]).
const FIRST: &str = "";
const LAST: &str = "~";

#[async_trait]
impl Backlog for Sqlite {
    async fn ready(
        &self,
        class: Class,
        after_tenant: Option<&TenantId>,
        limit: u32,
        tenant_limit: Option<u32>,
    ) -> Result<Vec<ReadyRun>, LedgerError> {
        let after = after_tenant.cloned();
        self.readers
            .run(move |connection| ready(connection, class, after.as_ref(), limit, tenant_limit))
            .await
    }

    async fn queued(&self, runs: &[RunId], tenant_limit: Option<u32>) -> Result<Vec<QueuedRun>, LedgerError> {
        let runs = rows::ids(runs.iter().copied());
        self.readers
            .run(move |connection| {
                let sought = &mut connection.prepare_cached(QUEUED)?;
                decode::all(sought, params![runs, tenant_limit], queued)
            })
            .await
    }

    async fn page(&self, after: Option<&QueuedRun>, limit: u32) -> Result<Vec<QueuedRun>, LedgerError> {
        let after = after.cloned();
        self.readers
            .run(move |connection| {
                let after = after.as_ref();
                // An empty class sorts before every other.
                let params = params![
                    after.map_or("", |after| after.class.as_str()),
                    after.map_or(FIRST, |after| after.tenant.as_str()),
                    after.map_or(0, |after| after.not_before.millis()),
                    after.map_or(Uuid::nil(), |after| after.run.uuid()),
                    limit,
                ];
                decode::all(&mut connection.prepare_cached(PAGE)?, params, queued)
            })
            .await
    }
}

fn queued(row: &Row<'_>) -> Result<QueuedRun, LedgerError> {
    Ok(QueuedRun {
        run: decode::run(row, "id")?,
        epoch: row.get("epoch")?,
        tenant: decode::tenant(row, "tenant")?,
        class: decode::named(row, "class")?,
        not_before: decode::moment(row, "not_before")?,
        delay: Duration::from_millis(u64::try_from(row.get::<_, i64>("delay")?).unwrap_or(0)),
        full: row.get("full")?,
    })
}

fn ready(
    connection: &Connection,
    class: Class,
    after_tenant: Option<&TenantId>,
    limit: u32,
    tenant_limit: Option<u32>,
) -> Result<Vec<ReadyRun>, LedgerError> {
    let start = after_tenant.map_or(FIRST, TenantId::as_str);
    let mut ring = tenants(connection, class, (start, LAST), limit, tenant_limit)?;
    let missing = limit.saturating_sub(u32::try_from(ring.len()).unwrap_or(u32::MAX));
    if missing > 0 && start != FIRST {
        // Around the end.
        ring.extend(tenants(connection, class, (FIRST, start), missing, tenant_limit)?);
    }
    if ring.is_empty() {
        return Ok(Vec::new());
    }
    let share = limit.saturating_mul(DEPTH) / u32::try_from(ring.len()).unwrap_or(u32::MAX);
    let depth = share.clamp(1, limit).min(tenant_limit.unwrap_or(u32::MAX));
    let mut runs = connection.prepare_cached(RUNS)?;
    for turn in &mut ring {
        let params = params![class.as_str(), turn.tenant.as_str(), depth];
        turn.runs = decode::all(&mut runs, params, |row| {
            Ok(ReadyRun {
                run: decode::run(row, "id")?,
                epoch: row.get("epoch")?,
                tenant: turn.tenant.clone(),
            })
        })?
        .into();
    }
    Ok(in_turn(ring, limit))
}

/// A tenant of the ring.
struct Turn {
    tenant: TenantId,
    /// Runs it may have beside those that are running.
    room: u32,
    /// Its oldest ready runs.
    runs: VecDeque<ReadyRun>,
}

/// Tenants after the first and up to the second name that have a ready run and may run one more, in order.
fn tenants(
    connection: &Connection,
    class: Class,
    (after, up_to): (&str, &str),
    limit: u32,
    tenant_limit: Option<u32>,
) -> Result<Vec<Turn>, LedgerError> {
    let tenants = &mut connection.prepare_cached(TENANTS)?;
    let params = params![class.as_str(), after, up_to, limit, tenant_limit];
    decode::all(tenants, params, |row| {
        Ok(Turn {
            tenant: decode::tenant(row, "tenant")?,
            room: row.get::<_, Option<u32>>("room")?.unwrap_or(u32::MAX),
            runs: VecDeque::new(),
        })
    })
}

/// The first run of each tenant, then the second of each, and so on.
fn in_turn(ring: Vec<Turn>, limit: u32) -> Vec<ReadyRun> {
    let mut proposed = Vec::new();
    let mut ring = VecDeque::from(ring);
    let mut places = limit;
    while places > 0
        && let Some(mut turn) = ring.pop_front()
    {
        if let (1.., Some(run)) = (turn.room, turn.runs.pop_front()) {
            proposed.push(run);
            places -= 1;
            turn.room -= 1;
            ring.push_back(turn);
        }
    }
    proposed
}

/// What makes a queued run `q` ready, beside its place in the index. The clock is written out here: a joined row with
/// the time in it would cost the index its order, and a proposal a sort of the whole queue.
macro_rules! ready {
    () => {
        concat!(
            "q.not_before <= ",
            now!(),
            " AND q.cancel_at IS NULL AND (q.deadline_at IS NULL OR q.deadline_at > ",
            now!(),
            ")"
        )
    };
}

/// ?1 class, ?2 after, ?3 up to, ?4 how many, ?5 limit per tenant or NULL (then the room is NULL too). The recursion
/// leaps to the next tenant; it goes only as far as the outer LIMIT asks.
pub(super) const TENANTS: &str = concat!(
    "WITH RECURSIVE tenants(tenant) AS ( \
       SELECT (SELECT q.tenant FROM mcp_request AS q INDEXED BY mcp_request_ready \
               WHERE q.status = 'queued' AND q.class = ?1 AND q.tenant > ?2 ORDER BY q.tenant LIMIT 1) \
       UNION ALL \
       SELECT (SELECT q.tenant FROM mcp_request AS q INDEXED BY mcp_request_ready \
               WHERE q.status = 'queued' AND q.class = ?1 AND q.tenant > t.tenant ORDER BY q.tenant LIMIT 1) \
       FROM tenants AS t WHERE t.tenant <= ?3) \
     SELECT tenant, room FROM ( \
       SELECT t.tenant, iif(?5 IS NULL, NULL, ?5 - ( \
         SELECT count(*) FROM mcp_request AS h INDEXED BY mcp_request_running \
         WHERE h.status = 'running' AND h.tenant = t.tenant)) AS room \
       FROM tenants AS t WHERE t.tenant <= ?3 \
       AND EXISTS (SELECT 1 FROM mcp_request AS q INDEXED BY mcp_request_ready \
                   WHERE q.status = 'queued' AND q.class = ?1 AND q.tenant = t.tenant AND ",
    ready!(),
    ")) WHERE room IS NULL OR room > 0 LIMIT (?4 + 0)"
);

/// ?1 class, ?2 tenant, ?3 how many at most.
pub(super) const RUNS: &str = concat!(
    "SELECT q.id, q.epoch FROM mcp_request AS q INDEXED BY mcp_request_ready \
     WHERE q.status = 'queued' AND q.class = ?1 AND q.tenant = ?2 AND ",
    ready!(),
    " ORDER BY q.not_before, q.id LIMIT (?3 + 0)"
);

/// What a run `q` must be to wait in the queue.
macro_rules! waits {
    () => {
        concat!(
            "q.status = 'queued' AND q.cancel_at IS NULL AND (q.deadline_at IS NULL OR q.deadline_at > ",
            now!(),
            ")"
        )
    };
}

/// The columns of [`queued`], but for the last.
macro_rules! columns {
    () => {
        concat!(
            "q.id, q.epoch, q.tenant, q.class, q.not_before, max(0, q.not_before - ",
            now!(),
            ") AS delay, "
        )
    };
}

/// ?1 runs, ?2 limit per tenant or NULL.
pub(super) const QUEUED: &str = concat!(
    "SELECT ",
    columns!(),
    "?2 IS NOT NULL AND ?2 <= (SELECT count(*) FROM mcp_request AS h INDEXED BY mcp_request_running \
     WHERE h.status = 'running' AND h.tenant = q.tenant) AS full \
     FROM json_each(?1) AS j CROSS JOIN mcp_request AS q ON q.id = unhex(j.value) WHERE ",
    waits!()
);

/// ?1 class, ?2 tenant, ?3 `not_before` and ?4 id of the row before, ?5 how many.
pub(super) const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    "0 AS full FROM mcp_request AS q INDEXED BY mcp_request_ready \
     WHERE (q.class, q.tenant, q.not_before, q.id) > (?1, ?2, ?3, ?4) AND ",
    waits!(),
    " ORDER BY q.class, q.tenant, q.not_before, q.id LIMIT (?5 + 0)"
);
