//! What workers tell each other, on Postgres.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, count, int};
use crate::domain::{BreakerNews, NewsState, Timestamp, WorkerId};
use crate::ledger::LedgerError;
use crate::ledger::fleet::{Fleet, HeardNews, NEWS_OVERLAP, NewsMark, check_report, signed, unsigned};

/// The newest of each breaker, in order of their keys: a row is changed once, and two writers never wait for each other.
const SHARE: &str = "
INSERT INTO mcp_breaker AS known (provider, model, state, open_until, level, version, writer, updated_at)
SELECT DISTINCT ON (provider, model) provider, model, state, open_until, level, version, writer, mcp_now()
FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[])
    AS news(provider, model, state, open_until, level, version, writer)
ORDER BY provider, model, version DESC, writer DESC
ON CONFLICT (provider, model) DO UPDATE
SET state = excluded.state, open_until = excluded.open_until, level = excluded.level, version = excluded.version,
    writer = excluded.writer, updated_at = excluded.updated_at
WHERE (known.version, known.writer) < (excluded.version, excluded.writer)";

/// One row at least, for the time.
const NEWS: &str = "
SELECT mcp_now() AS now, provider, model, state, open_until, level, version, writer
FROM (SELECT) AS one LEFT JOIN mcp_breaker ON $1::bigint IS NULL OR updated_at >= $1";

const REPORT: &str = "
UPDATE mcp_worker SET figures = $2, figures_at = mcp_now() WHERE id = $1 AND status <> 'dead'";

fn news(row: &PgRow) -> Result<Option<BreakerNews>, LedgerError> {
    let Some(provider) = row.try_get("provider")? else {
        return Ok(None);
    };
    let version: i64 = row.try_get("version")?;
    Ok(Some(BreakerNews {
        provider,
        model: row.try_get("model")?,
        state: row.try_get::<&str, _>("state")?.parse()?,
        until: Timestamp::from_millis(row.try_get("open_until")?),
        level: count(row.try_get("level")?),
        version: u64::try_from(version).unwrap_or(0),
        writer: unsigned(row.try_get("writer")?),
    }))
}

#[async_trait]
impl Fleet for Postgres {
    async fn share_breakers(&self, news: &[BreakerNews]) -> Result<(), LedgerError> {
        fn column<'a, T>(news: &'a [BreakerNews], value: impl Fn(&'a BreakerNews) -> T) -> Vec<T> {
            news.iter().map(value).collect()
        }
        if news.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(SHARE)
            .bind(column(news, |news| news.provider.as_str()))
            .bind(column(news, |news| news.model.as_str()))
            .bind(column(news, |news| NewsState::as_str(news.state)))
            .bind(column(news, |news| news.until.millis()))
            .bind(column(news, |news| int(news.level)))
            .bind(column(news, |news| {
                i64::try_from(news.version).unwrap_or(i64::MAX)
            }))
            .bind(column(news, |news| signed(news.writer)));
        self.within(query.execute(&self.pool)).await?;
        Ok(())
    }

    async fn breakers(&self, since: Option<NewsMark>) -> Result<HeardNews, LedgerError> {
        let since = since.map(|NewsMark(mark)| mark.millis() - NEWS_OVERLAP);
        let rows = self
            .within(sqlx::query(NEWS).bind(since).fetch_all(&self.pool))
            .await?;
        let now = rows.first().map(|row| row.try_get("now")).transpose()?;
        let now = now.ok_or_else(|| LedgerError::Corrupt("the database told no time".to_owned()))?;
        Ok(HeardNews {
            news: rows
                .iter()
                .filter_map(|row| news(row).transpose())
                .collect::<Result<_, _>>()?,
            mark: NewsMark(Timestamp::from_millis(now)),
        })
    }

    async fn report_figures(&self, worker: WorkerId, figures: &str) -> Result<(), LedgerError> {
        check_report(figures)?;
        let query = sqlx::query(REPORT).bind(worker.uuid()).bind(figures);
        self.within(query.execute(&self.pool)).await?;
        Ok(())
    }
}
