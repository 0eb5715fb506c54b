//! Deadlines of queued runs. Those of running ones are their worker's.

use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::LedgerError;

use super::{Closer, Duty};

/// Runs failed in one transaction.
const PAGE: u32 = 500;

pub(super) struct Deadlines {
    closer: Closer,
}

impl Deadlines {
    pub(super) const fn new(closer: Closer) -> Self {
        Self { closer }
    }
}

#[async_trait]
impl Duty for Deadlines {
    fn name(&self) -> &'static str {
        "deadlines"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn perform(&mut self) -> Result<(), LedgerError> {
        loop {
            let closed = self.closer.upkeep.expire_deadlines(PAGE).await?;
            let full = closed.len() >= PAGE as usize;
            self.closer.announcer.closed(closed).await;
            if !full {
                return Ok(());
            }
        }
    }
}
