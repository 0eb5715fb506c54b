//! The role of who tells the other workers what it learned, and people what it sees.

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::{BreakerNews, Timestamp, WorkerId};

/// News that were written so long before a mark are read again with it: one that was being written when the mark was
/// taken is not missed. Milliseconds.
pub(super) const NEWS_OVERLAP: i64 = 10_000;

/// News of breakers, and where to go on reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardNews {
    /// One per provider and model, in no order. Some may have been answered before: hearing them again changes nothing.
    pub news: Vec<BreakerNews>,
    /// What to ask with next time.
    pub mark: NewsMark,
}

/// How far news were read; database time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewsMark(pub(super) Timestamp);

/// Shares what workers learn.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Writes news of breakers for the others. Of each breaker the newest stays, whatever the order they arrive in:
    /// may be repeated, and what is older than what is there changes nothing.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn share_breakers(&self, news: &[BreakerNews]) -> Result<(), LedgerError>;

    /// News written since the mark, or all there are. One small query, cheap enough for several times a second.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn breakers(&self, since: Option<NewsMark>) -> Result<HeardNews, LedgerError>;

    /// Replaces what a worker last saw ([`crate::domain::FiguresReport`] as JSON). It goes with the worker. Of a dead
    /// incarnation nothing is written.
    ///
    /// # Errors
    /// When the ledger is away; [`LedgerError::Refused`] beyond [`crate::domain::MAX_REPORT`] bytes.
    async fn report_figures(&self, worker: WorkerId, figures: &str) -> Result<(), LedgerError>;
}

/// Refuses a report that is too long, or that Postgres would refuse.
pub(super) fn check_report(figures: &str) -> Result<(), LedgerError> {
    if figures.len() > crate::domain::MAX_REPORT {
        return Err(LedgerError::Refused(format!(
            "a report of figures may have at most {} bytes",
            crate::domain::MAX_REPORT
        )));
    }
    if figures.contains('\0') {
        return Err(LedgerError::Refused("a text contains NUL".to_owned()));
    }
    Ok(())
}

/// A writer's number as a database's signed column holds it, in the same order.
pub(super) const fn signed(writer: u64) -> i64 {
    (writer ^ (1 << 63)).cast_signed()
}

/// And back.
pub(super) const fn unsigned(writer: i64) -> u64 {
    writer.cast_unsigned() ^ (1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_keep_their_order() {
        let writers = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
        for pair in writers.windows(2) {
            assert!(signed(pair[0]) < signed(pair[1]));
        }
        for writer in writers {
            assert_eq!(unsigned(signed(writer)), writer);
        }
    }
}
