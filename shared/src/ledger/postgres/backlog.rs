//! Reading the queue on Postgres.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::execute::tenant;
use super::{Postgres, count};
use crate::domain::{Class, RunId, TenantId, Timestamp};
use crate::ledger::{Backlog, LedgerError, QueuedRun, ReadyRun};

/// A loose scan of the index `mcp_request_ready` (class, tenant, not_before, id), which leaps from tenant to tenant, so
/// that a tenant's million runs cost as much as one. `ring` goes round once: to the tenants after `$2`, then around the
/// end to the others. It stops at the `$3`th tenant that has something to give, and goes as far as it must to find one:
/// however many tenants only wait, they do not hide another. Each tenant then gives its share of `$3`, oldest first.
///
/// Every look into the table says `ORDER BY … LIMIT`, also where `EXISTS` would mean the same: for that, the planner may
/// read the whole queue into a hash table. A leap compares (class, tenant), where `class = $1` would mean the same: for
/// that, it may take the index of listings, and wade through all that a tenant ever had. `OFFSET 0` keeps a part from
/// being computed wherever it is mentioned.
///
/// `$1` class, `$2` the tenant served last or an empty text, `$3` how many, `$4` limit per tenant or NULL.
pub(super) const READY: &str = "
WITH RECURSIVE ring(tenant, around, place, room, found) AS (
    SELECT $2::text, false, 0, 0::bigint, 0::bigint
    UNION ALL
    SELECT next.tenant, next.tenant <= $2, ring.place + 1, open.room, ring.found + (open.room > 0)::int
    FROM ring CROSS JOIN LATERAL (
        SELECT coalesce(
            CASE WHEN NOT ring.around THEN (
                SELECT CASE WHEN class = $1 THEN tenant END FROM mcp_request
                WHERE status = 'queued' AND (class, tenant) > ($1, ring.tenant) ORDER BY class, tenant LIMIT 1
            ) END, (
                SELECT CASE WHEN class = $1 AND tenant <= $2 THEN tenant END FROM mcp_request
                WHERE status = 'queued' AND (class, tenant) > ($1, CASE WHEN ring.around THEN ring.tenant ELSE '' END)
                ORDER BY class, tenant LIMIT 1
            )
        ) AS tenant OFFSET 0
    ) AS next CROSS JOIN LATERAL (
        SELECT CASE
            WHEN (
                SELECT id FROM mcp_request
                WHERE status = 'queued' AND class = $1 AND tenant = next.tenant AND not_before <= mcp_now()
                  AND cancel_at IS NULL AND (deadline_at IS NULL OR deadline_at > mcp_now())
                ORDER BY not_before, id LIMIT 1
            ) IS NULL THEN 0
            WHEN $4::bigint IS NULL THEN $3::bigint
            ELSE greatest(0, least($3::bigint, $4::bigint - (
                SELECT count(*) FROM mcp_request AS other
                WHERE other.tenant = next.tenant AND other.status = 'running'
            )))
        END AS room OFFSET 0
    ) AS open
    WHERE ring.found < $3 AND next.tenant IS NOT NULL
), peopled AS MATERIALIZED (
    SELECT tenant, place, room FROM ring WHERE room > 0
), share AS MATERIALIZED (
    SELECT greatest(1, (2 * $3 + count(*) - 1) / greatest(1, count(*))) AS runs FROM peopled
)
SELECT run.id, run.epoch, peopled.tenant
FROM peopled CROSS JOIN share CROSS JOIN LATERAL (
    SELECT id, epoch, row_number() OVER (ORDER BY not_before, id) AS turn FROM (
        SELECT id, epoch, not_before FROM mcp_request
        WHERE status = 'queued' AND class = $1 AND tenant = peopled.tenant AND not_before <= mcp_now()
          AND cancel_at IS NULL AND (deadline_at IS NULL OR deadline_at > mcp_now())
        ORDER BY not_before, id LIMIT least(share.runs, peopled.room)
    ) AS oldest
) AS run
ORDER BY run.turn, peopled.place LIMIT $3";

/// What a queued run `run` must not be to be waited for.
macro_rules! waits {
    () => {
        "run.status = 'queued' AND run.cancel_at IS NULL AND (run.deadline_at IS NULL OR run.deadline_at > mcp_now())"
    };
}

/// The columns of [`queued`], but for the last.
macro_rules! columns {
    () => {
        "run.id, run.epoch, run.tenant, run.class, run.not_before, greatest(0, run.not_before - mcp_now()), "
    };
}

/// Each tenant is counted once, however many of its runs are asked for. `$1` runs, `$2` limit per tenant or NULL.
const QUEUED: &str = concat!(
    "WITH run AS MATERIALIZED (SELECT id, epoch, tenant, class, not_before, status, cancel_at, deadline_at \
     FROM mcp_request WHERE id = ANY($1)), crowded AS MATERIALIZED (SELECT own.tenant FROM (SELECT DISTINCT tenant FROM run WHERE $2::bigint IS NOT NULL) AS own \
     WHERE $2 <= (SELECT count(*) FROM mcp_request AS other \
     WHERE other.tenant = own.tenant AND other.status = 'running')) SELECT ",
    columns!(),
    "run.tenant IN (SELECT tenant FROM crowded) FROM run WHERE ",
    waits!()
);

/// A step through the index `mcp_request_ready`, from behind the row that is named. `$1` class, `$2` tenant, `$3`
/// `not_before` and `$4` id of that row, `$5` how many.
pub(super) const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    "false FROM mcp_request AS run \
     WHERE (run.class, run.tenant, run.not_before, run.id) > ($1, $2, $3, $4) AND ",
    waits!(),
    " ORDER BY run.class, run.tenant, run.not_before, run.id LIMIT $5"
);

fn queued(row: &PgRow) -> Result<QueuedRun, LedgerError> {
    Ok(QueuedRun {
        run: row.try_get::<Uuid, _>(0)?.into(),
        epoch: count(row.try_get(1)?),
        tenant: tenant(row.try_get(2)?)?,
        class: row.try_get::<&str, _>(3)?.parse()?,
        not_before: Timestamp::from_millis(row.try_get(4)?),
        delay: Duration::from_millis(u64::try_from(row.try_get::<i64, _>(5)?).unwrap_or(0)),
        full: row.try_get(6)?,
    })
}

#[async_trait]
impl Backlog for Postgres {
    async fn ready(
        &self,
        class: Class,
        after_tenant: Option<&TenantId>,
        limit: u32,
        tenant_limit: Option<u32>,
    ) -> Result<Vec<ReadyRun>, LedgerError> {
        let query = sqlx::query(READY)
            .bind(class.as_str())
            .bind(after_tenant.map_or("", TenantId::as_str))
            .bind(i64::from(limit))
            .bind(tenant_limit.map(i64::from));
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        let ready = |row: &PgRow| {
            Ok(ReadyRun {
                run: row.try_get::<Uuid, _>(0)?.into(),
                epoch: count(row.try_get(1)?),
                tenant: tenant(row.try_get(2)?)?,
            })
        };
        rows.iter().map(ready).collect()
    }
    async fn queued(&self, runs: &[RunId], tenant_limit: Option<u32>) -> Result<Vec<QueuedRun>, LedgerError> {
        let ids: Vec<Uuid> = runs.iter().map(|run| run.uuid()).collect();
        let query = sqlx::query(QUEUED).bind(ids).bind(tenant_limit.map(i64::from));
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        rows.iter().map(queued).collect()
    }

    async fn page(&self, after: Option<&QueuedRun>, limit: u32) -> Result<Vec<QueuedRun>, LedgerError> {
        // An empty class sorts before every other.
        let query = sqlx::query(PAGE)
            .bind(after.map_or("", |after| after.class.as_str()))
            .bind(after.map_or("", |after| after.tenant.as_str()))
            .bind(after.map_or(0, |after| after.not_before.millis()))
            .bind(after.map_or(Uuid::nil(), |after| after.run.uuid()))
            .bind(i64::from(limit));
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        rows.iter().map(queued).collect()
    }
}
