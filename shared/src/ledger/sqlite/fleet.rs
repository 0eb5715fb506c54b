//! What workers tell each other, on SQLite: the same process, mostly; but the contract is the same.

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::{Sqlite, decode, now, rows};
use crate::domain::{BreakerNews, NewsState, WorkerId};
use crate::ledger::LedgerError;
use crate::ledger::fleet::{Fleet, HeardNews, NEWS_OVERLAP, NewsMark, check_report, signed, unsigned};

/// ?1 provider, ?2 model, ?3 state, ?4 until, ?5 level, ?6 version, ?7 writer.
const SHARE: &str = concat!(
    "INSERT INTO mcp_breaker (provider, model, state, open_until, level, version, writer, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ",
    now!(),
    ") ON CONFLICT (provider, model) DO UPDATE SET state = excluded.state, \
     open_until = excluded.open_until, level = excluded.level, version = excluded.version, writer = excluded.writer, \
     updated_at = excluded.updated_at \
     WHERE (mcp_breaker.version, mcp_breaker.writer) < (excluded.version, excluded.writer)"
);

/// One row at least, for the time.
const NEWS: &str = concat!(
    "SELECT ",
    now!(),
    " AS now, b.provider, b.model, b.state, b.open_until, b.level, b.version, b.writer FROM (SELECT 1) \
     LEFT JOIN mcp_breaker AS b ON ?1 IS NULL OR b.updated_at >= ?1"
);

fn news(row: &Row<'_>) -> Result<Option<BreakerNews>, LedgerError> {
    let Some(provider) = row.get("provider")? else {
        return Ok(None);
    };
    let version: i64 = row.get("version")?;
    Ok(Some(BreakerNews {
        provider,
        model: row.get("model")?,
        state: decode::named(row, "state")?,
        until: decode::moment(row, "open_until")?,
        level: row.get("level")?,
        version: u64::try_from(version).unwrap_or(0),
        writer: unsigned(row.get("writer")?),
    }))
}

#[async_trait]
impl Fleet for Sqlite {
    async fn share_breakers(&self, news: &[BreakerNews]) -> Result<(), LedgerError> {
        if news.is_empty() {
            return Ok(());
        }
        rows::without_nul(news.iter().flat_map(|news| [news.provider.as_str(), &news.model]))?;
        let news = news.to_vec();
        self.writer
            .run(move |connection| {
                let mut share = connection.prepare_cached(SHARE)?;
                for news in &news {
                    share.execute(params![
                        news.provider,
                        news.model,
                        NewsState::as_str(news.state),
                        news.until.millis(),
                        news.level,
                        i64::try_from(news.version).unwrap_or(i64::MAX),
                        signed(news.writer),
                    ])?;
                }
                Ok(())
            })
            .await
    }

    async fn breakers(&self, since: Option<NewsMark>) -> Result<HeardNews, LedgerError> {
        let since = since.map(|NewsMark(mark)| mark.millis() - NEWS_OVERLAP);
        let told = self
            .readers
            .run(move |connection| {
                decode::all(&mut connection.prepare_cached(NEWS)?, [since], |row| {
                    Ok((decode::moment(row, "now")?, news(row)?))
                })
            })
            .await?;
        let now = told.first().map(|(now, _)| *now);
        let now = now.ok_or_else(|| LedgerError::Corrupt("the database told no time".to_owned()))?;
        Ok(HeardNews {
            news: told.into_iter().filter_map(|(_, news)| news).collect(),
            mark: NewsMark(now),
        })
    }

    async fn report_figures(&self, worker: WorkerId, figures: &str) -> Result<(), LedgerError> {
        check_report(figures)?;
        let figures = figures.to_owned();
        self.writer
            .run(move |connection| {
                let mut report = connection.prepare_cached(concat!(
                    "UPDATE mcp_worker SET figures = ?2, figures_at = ",
                    now!(),
                    " WHERE id = ?1 AND status <> 'dead'"
                ))?;
                report.execute(params![worker.uuid(), figures])?;
                Ok(())
            })
            .await
    }
}
