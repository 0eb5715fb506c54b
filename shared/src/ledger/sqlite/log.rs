//! Reading logs.

use async_trait::async_trait;
use rusqlite::params;

use super::{Sqlite, decode, rows};
use crate::domain::{Cursor, LogEntry, RunId};
use crate::ledger::{LedgerError, Log};

/// Bytes of data after which a page takes no further entry.
const PAGE_BYTES: i64 = 1 << 20;

#[async_trait]
impl Log for Sqlite {
    async fn entries(&self, run: RunId, after: Cursor, limit: u32) -> Result<Vec<LogEntry>, LedgerError> {
        let entries = self.tail(&[(run, after)], limit).await?;
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    async fn tail(
        &self,
        watched: &[(RunId, Cursor)],
        limit: u32,
    ) -> Result<Vec<(RunId, LogEntry)>, LedgerError> {
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        let watched: Vec<_> = watched
            .iter()
            .map(|(run, after)| (run.uuid().simple(), after.epoch, after.seq))
            .collect();
        self.readers
            .run(move |connection| {
                let page = &mut connection.prepare_cached(TAIL)?;
                let params = params![rows::json(&watched), limit, PAGE_BYTES];
                decode::all(page, params, |row| {
                    Ok((decode::run(row, "run_id")?, decode::entry(row)?))
                })
            })
            .await
    }
}

/// ?1 runs and cursors, ?2 entries, ?3 bytes. The inner LIMIT stops the walk through each log, in the order of its key.
/// The page is measured first (the length of a text is known without reading it) and then read, so that a log of large
/// entries costs one page of memory.
pub(super) const TAIL: &str = "\
WITH page AS ( \
  SELECT j.key AS place, e.run_id, e.epoch, e.seq, octet_length(e.data) AS bytes \
  FROM json_each(?1) AS j CROSS JOIN mcp_event AS e ON e.run_id = unhex(j.value ->> 0) AND (e.epoch, e.seq) IN ( \
    SELECT x.epoch, x.seq FROM mcp_event AS x \
    WHERE x.run_id = unhex(j.value ->> 0) AND (x.epoch, x.seq) > (j.value ->> 1, j.value ->> 2) \
    ORDER BY x.epoch, x.seq LIMIT (?2 + 0)) \
  ORDER BY j.key, e.epoch, e.seq LIMIT (?2 + 0)), \
sized AS ( \
  SELECT place, run_id, epoch, seq, \
    sum(bytes) OVER (ORDER BY place, epoch, seq ROWS UNBOUNDED PRECEDING) - bytes AS before FROM page) \
SELECT e.run_id, e.epoch, e.seq, e.type, e.at, e.data \
FROM sized AS s CROSS JOIN mcp_event AS e ON e.run_id = s.run_id AND e.epoch = s.epoch AND e.seq = s.seq \
WHERE s.before < ?3 ORDER BY s.place, s.epoch, s.seq";
