//! The reaper: declares incarnations dead whose lease is over, and sends their runs back to the queue.

use std::time::Duration;

use async_trait::async_trait;
use shared::config::WorkerConfig;
use shared::ledger::LedgerError;
use tokio::time::Instant;

use super::{Closer, Duty};

/// Waits one lease after the ledger was away: workers that could not renew meanwhile get the chance first.
pub(super) struct Reaper {
    closer: Closer,
    lease: Duration,
    /// Since when the ledger has answered without a break.
    answering_since: Instant,
    was_away: bool,
}

impl Reaper {
    pub(super) fn new(closer: Closer, lease: Duration) -> Self {
        Self {
            closer,
            lease,
            answering_since: Instant::now(),
            was_away: false,
        }
    }

    fn is_patient(&self) -> bool {
        self.answering_since.elapsed() < self.lease
    }
}

#[async_trait]
impl Duty for Reaper {
    fn name(&self) -> &'static str {
        "reaper"
    }

    fn interval(&self) -> Duration {
        self.lease.mul_f64(0.2)
    }

    async fn perform(&mut self) -> Result<(), LedgerError> {
        if self.is_patient() || self.was_away {
            return Ok(());
        }
        for worker in self.closer.upkeep.lapsed_workers().await? {
            let closed = self
                .closer
                .upkeep
                .reap(worker, WorkerConfig::MAX_CRASHES, true)
                .await?;
            tracing::warn!(%worker, runs = closed.len(), "a worker's lease lapsed; its runs were moved");
            self.closer.announcer.closed(closed).await;
        }
        Ok(())
    }

    fn ledger_answered(&mut self, answered: bool) {
        if answered && self.was_away {
            self.answering_since = Instant::now();
        }
        self.was_away = !answered;
    }
}
