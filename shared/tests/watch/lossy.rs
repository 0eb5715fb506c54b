//! Feeds that do what a feed may do: lose messages, repeat them, deliver them late and out of order. The same ones each
//! time, by a fixed seed.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::domain::{Cursor, LogEntry, RunId};
use shared::feed::{Commit, Publish};
use shared::ledger::{LedgerError, Log};

/// Dice that always fall the same.
struct Dice(Mutex<StdRng>);

impl Dice {
    fn new() -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(7)))
    }

    /// 0 to 9.
    fn roll(&self) -> u32 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random_range(0..10)
    }
}

/// Publishes some commits, some twice, some later than those that follow, and some never.
pub(crate) struct LossyPublish {
    feed: Arc<dyn Publish>,
    dice: Dice,
    late: Mutex<Vec<Commit>>,
}

impl LossyPublish {
    pub(crate) fn new(feed: Arc<dyn Publish>) -> Self {
        Self {
            feed,
            dice: Dice::new(),
            late: Mutex::default(),
        }
    }

    fn late(&self) -> std::sync::MutexGuard<'_, Vec<Commit>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Publish for LossyPublish {
    async fn publish(&self, commits: Vec<Commit>) {
        for commit in commits {
            match self.dice.roll() {
                0..3 => {}
                3..5 => self.late().push(commit),
                5 => self.feed.publish(vec![commit.clone(), commit]).await,
                _ => {
                    let late = std::mem::take(&mut *self.late());
                    self.feed.publish(vec![commit]).await;
                    self.feed.publish(late).await;
                }
            }
        }
    }
}

/// A log for a tail to follow that keeps a part of the news to itself: for now, where it is the latest; for good, where
/// later news is told.
pub(crate) struct LossyLog {
    log: Arc<dyn Log>,
    dice: Dice,
}

impl LossyLog {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self {
            log,
            dice: Dice::new(),
        }
    }
}

#[async_trait]
impl Log for LossyLog {
    async fn entries(&self, run: RunId, after: Cursor, limit: u32) -> Result<Vec<LogEntry>, LedgerError> {
        self.log.entries(run, after, limit).await
    }

    async fn tail(
        &self,
        watched: &[(RunId, Cursor)],
        limit: u32,
    ) -> Result<Vec<(RunId, LogEntry)>, LedgerError> {
        let mut news = self.log.tail(watched, limit).await?;
        news.retain(|_| self.dice.roll() >= 3);
        Ok(news)
    }
}
