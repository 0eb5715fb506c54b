//! Reading logs on Postgres.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{Postgres, count, int};
use crate::domain::{Cursor, EventType, LogEntry, RunId, Timestamp};
use crate::ledger::{LedgerError, Log};

/// Data of one page. `octet_length` and not `length`: that would count characters, and read every text to do so.
const PAGE_BYTES: i64 = 1024 * 1024;

/// Entries after a cursor until `$5` bytes are reached; the first one always.
const ENTRIES: &str = "
SELECT epoch, seq, type, at, data FROM (
    SELECT epoch, seq, type, at, data, sum(octet_length(data)) OVER (ORDER BY epoch, seq) - octet_length(data) AS before FROM (
        SELECT epoch, seq, type, at, data FROM mcp_event
        WHERE run_id = $1 AND (epoch, seq) > ($2, $3) ORDER BY epoch, seq LIMIT $4
    ) AS page
) AS weighed
WHERE before < $5 ORDER BY epoch, seq";

const TAIL: &str = "
SELECT id, epoch, seq, type, at, data FROM (
    SELECT news.*, sum(octet_length(data)) OVER (ORDER BY place, epoch, seq) - octet_length(data) AS before FROM (
        SELECT watched.id, watched.place, event.*
        FROM UNNEST($1::uuid[], $2::int[], $3::int[]) WITH ORDINALITY AS watched(id, epoch, seq, place)
        CROSS JOIN LATERAL (
            SELECT epoch, seq, type, at, data FROM mcp_event
            WHERE run_id = watched.id AND (mcp_event.epoch, mcp_event.seq) > (watched.epoch, watched.seq)
            ORDER BY epoch, seq LIMIT $4
        ) AS event
        LIMIT $4
    ) AS news
) AS weighed
WHERE before < $5 ORDER BY place, epoch, seq";

fn entry(row: &PgRow, first: usize) -> Result<LogEntry, LedgerError> {
    Ok(LogEntry {
        cursor: Cursor::new(count(row.try_get(first)?), count(row.try_get(first + 1)?)),
        kind: row.try_get::<&str, _>(first + 2)?.parse::<EventType>()?,
        at: Timestamp::from_millis(row.try_get(first + 3)?),
        data: row.try_get::<&str, _>(first + 4)?.into(),
    })
}

#[async_trait]
impl Log for Postgres {
    async fn entries(&self, run: RunId, after: Cursor, limit: u32) -> Result<Vec<LogEntry>, LedgerError> {
        let query = sqlx::query(ENTRIES)
            .bind(run.uuid())
            .bind(int(after.epoch))
            .bind(int(after.seq))
            .bind(i64::from(limit))
            .bind(PAGE_BYTES);
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        rows.iter().map(|row| entry(row, 0)).collect()
    }

    async fn tail(
        &self,
        watched: &[(RunId, Cursor)],
        limit: u32,
    ) -> Result<Vec<(RunId, LogEntry)>, LedgerError> {
        let ids: Vec<Uuid> = watched.iter().map(|(run, _)| run.uuid()).collect();
        let epochs: Vec<i32> = watched.iter().map(|(_, cursor)| int(cursor.epoch)).collect();
        let seqs: Vec<i32> = watched.iter().map(|(_, cursor)| int(cursor.seq)).collect();
        let query = sqlx::query(TAIL)
            .bind(ids)
            .bind(epochs)
            .bind(seqs)
            .bind(i64::from(limit))
            .bind(PAGE_BYTES);
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        rows.iter()
            .map(|row| Ok((row.try_get::<Uuid, _>(0)?.into(), entry(row, 1)?)))
            .collect()
    }
}
