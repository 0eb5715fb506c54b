//! Reading the queue on Postgres.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::execute::tenant;
use super::{Postgres, count};
use crate::domain::{Class, TenantId};
use crate::ledger::{Backlog, LedgerError, ReadyRun};

/// A loose index scan: the recursion steps from tenant to tenant on the index `mcp_request_ready` (class, tenant,
/// not_before, id), so that a tenant's million runs cost as much as one. `$2` is where the ring goes on; the second arm
/// of `ring` comes around its end. Each tenant then gives its share of `$3`, oldest first.
const READY: &str = "
WITH RECURSIVE after_last(tenant, place) AS (
    (SELECT tenant, 1 FROM mcp_request
     WHERE status = 'queued' AND class = $1 AND tenant > $2 ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM mcp_request
            WHERE status = 'queued' AND class = $1 AND tenant > after_last.tenant ORDER BY tenant LIMIT 1), place + 1
    FROM after_last WHERE after_last.tenant IS NOT NULL AND place < $5
), up_to_last(tenant, place) AS (
    (SELECT tenant, 1 FROM mcp_request
     WHERE status = 'queued' AND class = $1 AND tenant <= $2 ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM mcp_request
            WHERE status = 'queued' AND class = $1 AND tenant > up_to_last.tenant AND tenant <= $2
            ORDER BY tenant LIMIT 1), place + 1
    FROM up_to_last WHERE up_to_last.tenant IS NOT NULL AND place < $5
), ring AS MATERIALIZED (
    SELECT tenant, row_number() OVER (ORDER BY part, place) AS place FROM (
        SELECT tenant, 1 AS part, place FROM after_last WHERE tenant IS NOT NULL
        UNION ALL
        SELECT tenant, 2 AS part, place FROM up_to_last WHERE tenant IS NOT NULL
    ) AS both_parts
), open AS MATERIALIZED (
    SELECT tenant, place, least($3, CASE WHEN $4::bigint IS NULL THEN $3 ELSE greatest(0, $4 - (
        SELECT count(*) FROM mcp_request AS other WHERE other.tenant = ring.tenant AND other.status = 'running'
    )) END) AS room
    FROM ring
), peopled AS MATERIALIZED (
    SELECT open.* FROM open WHERE room > 0 AND EXISTS (
        SELECT 1 FROM mcp_request AS run
        WHERE run.status = 'queued' AND run.class = $1 AND run.tenant = open.tenant AND run.not_before <= mcp_now()
    ) ORDER BY place LIMIT $3
), share AS MATERIALIZED (
    SELECT greatest(1, (2 * $3 + count(*) - 1) / greatest(1, count(*))) AS runs FROM peopled
)
SELECT run.id, run.epoch, peopled.tenant
FROM peopled CROSS JOIN share CROSS JOIN LATERAL (
    SELECT id, epoch, row_number() OVER (ORDER BY not_before, id) AS turn FROM (
        SELECT id, epoch, not_before FROM mcp_request
        WHERE status = 'queued' AND class = $1 AND tenant = peopled.tenant AND not_before <= mcp_now()
          AND (deadline_at IS NULL OR deadline_at > mcp_now())
        ORDER BY not_before, id LIMIT least(share.runs, peopled.room)
    ) AS oldest
) AS run
ORDER BY run.turn, peopled.place LIMIT $3";

/// Tenants looked at in one call. More than this many tenants with queued runs that are all delayed or at their limit
/// are passed by on the following calls, as the ring turns.
const MAX_TENANTS: i32 = 1_000;

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
            .bind(tenant_limit.map(i64::from))
            .bind(MAX_TENANTS);
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
}
