//! Hints that were lost, and hints that have become pointless: goes through the queue, page by page, and offers what it
//! finds; then through what waits in Redis for its time, and drops what has ended meanwhile. In no hurry while hints are
//! complete but for a few; without a pause after they came up empty.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::dispatch::{Completeness, Hint, HintsAway, Rebuild, RebuildId};
use shared::domain::RunId;
use shared::ledger::{Backlog, LedgerError, QueuedRun};
use tokio::time::Instant;

use super::Duty;

/// Runs in a page.
const PAGE: u32 = 1_000;
/// From one page to the next while nothing is known to be missing.
const PACE: Duration = Duration::from_millis(100);
/// From the beginning of one pass to that of the next.
const PASS: Duration = Duration::from_secs(10);
/// How long one round may take: the duty's lease is renewed between rounds.
const ROUND: Duration = Duration::from_millis(800);
/// How often a round begins.
const INTERVAL: Duration = Duration::from_secs(1);
/// A page of a slow database may take as long as a statement may.
const TERM: Duration = Duration::from_secs(12);

pub(super) struct Hints {
    backlog: Arc<dyn Backlog>,
    rebuild: Arc<dyn Rebuild>,
    /// The rebuild under way.
    rebuilding: Option<RebuildId>,
    /// The last run of the last page; none at the beginning of a pass.
    after: Option<QueuedRun>,
    /// When the next pass begins.
    next_pass: Instant,
}

/// Why a page was not done.
enum Undone {
    Ledger(LedgerError),
    Hints(HintsAway),
}

impl From<LedgerError> for Undone {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<HintsAway> for Undone {
    fn from(error: HintsAway) -> Self {
        Self::Hints(error)
    }
}

impl Hints {
    pub(super) fn new(backlog: Arc<dyn Backlog>, rebuild: Arc<dyn Rebuild>) -> Self {
        Self {
            backlog,
            rebuild,
            rebuilding: None,
            after: None,
            next_pass: Instant::now(),
        }
    }

    /// Offers the next page; whether it was the last.
    async fn page(&mut self) -> Result<bool, Undone> {
        let page = self.backlog.page(self.after.as_ref(), PAGE).await?;
        let last = page.len() < PAGE as usize;
        let next = page.last().cloned();
        let hints: Vec<Hint> = page.into_iter().map(Hint::from).collect();
        self.rebuild.restore(&hints).await?;
        self.after = if last { None } else { next };
        Ok(last)
    }

    async fn round(&mut self) -> Result<(), Undone> {
        match self.rebuild.completeness().await? {
            Completeness::Incomplete => self.fill().await,
            Completeness::Complete => {
                if self.rebuilding.take().is_some() {
                    // Another process completed its own.
                    self.after = None;
                }
                self.sweep().await
            }
        }
    }

    /// Offers everything as fast as it goes, for a round.
    async fn fill(&mut self) -> Result<(), Undone> {
        let until = Instant::now() + ROUND;
        let rebuild = match &self.rebuilding {
            Some(rebuild) => rebuild.clone(),
            None => {
                tracing::warn!("the queue's hints are gone; building them again");
                self.after = None;
                let rebuild = self.rebuild.begin().await?;
                self.rebuilding.insert(rebuild).clone()
            }
        };
        while Instant::now() < until {
            if self.page().await? {
                self.rebuilding = None;
                if self.rebuild.complete(&rebuild).await? {
                    self.next_pass = Instant::now() + PASS;
                    tracing::info!("the queue's hints are complete again");
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks for what was lost, for a round.
    async fn sweep(&mut self) -> Result<(), Undone> {
        let until = Instant::now() + ROUND;
        while Instant::now() < until {
            if self.after.is_none() {
                if Instant::now() < self.next_pass {
                    return Ok(());
                }
                self.next_pass = Instant::now() + PASS;
            }
            if self.page().await? {
                return self.tidy().await;
            }
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    }

    /// Drops hints of runs that ended while they waited for another try.
    async fn tidy(&self) -> Result<(), Undone> {
        let mut kept = 0;
        loop {
            let delayed = self.rebuild.delayed(kept, PAGE as usize).await?;
            let runs: Vec<RunId> = delayed.iter().map(|hint| hint.run).collect();
            let queued = self.backlog.queued(&runs, None).await?;
            let queued: HashSet<(RunId, u32)> = queued.iter().map(|run| (run.run, run.epoch)).collect();
            let over = |hint: &Hint| !queued.contains(&(hint.run, hint.epoch));
            let (over, fresh): (Vec<Hint>, Vec<Hint>) = delayed.into_iter().partition(over);
            self.rebuild.forget(&over).await?;
            kept += fresh.len();
            if runs.len() < PAGE as usize {
                return Ok(());
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

#[async_trait]
impl Duty for Hints {
    fn name(&self) -> &'static str {
        "hints"
    }

    fn interval(&self) -> Duration {
        if self.rebuilding.is_some() {
            Duration::ZERO
        } else {
            INTERVAL
        }
    }

    fn term(&self) -> Duration {
        TERM
    }

    async fn perform(&mut self) -> Result<(), LedgerError> {
        match self.round().await {
            Ok(()) => Ok(()),
            Err(Undone::Ledger(error)) => Err(error),
            Err(Undone::Hints(error)) => {
                // What was offered before may be gone with it.
                self.rebuilding = None;
                self.after = None;
                tracing::debug!(%error, "not looking for lost hints now");
                Ok(())
            }
        }
    }
}
