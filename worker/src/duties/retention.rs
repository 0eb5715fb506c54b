//! Removes runs that ended long ago, and workers long dead.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::{LedgerError, Upkeep};

use super::Duty;

/// Runs removed in one transaction.
const PAGE: u32 = 1_000;

pub(super) struct Retention {
    upkeep: Arc<dyn Upkeep>,
    keep: Duration,
}

impl Retention {
    pub(super) fn new(upkeep: Arc<dyn Upkeep>, keep: Duration) -> Self {
        Self { upkeep, keep }
    }
}

#[async_trait]
impl Duty for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(600)
    }

    async fn perform(&mut self) -> Result<(), LedgerError> {
        let mut removed = 0;
        loop {
            let page = self.upkeep.forget(self.keep, PAGE).await?;
            removed += page;
            if page < u64::from(PAGE) {
                break;
            }
        }
        self.upkeep.forget_workers(self.keep).await?;
        if removed > 0 {
            tracing::info!(runs = removed, "retention: removed old runs");
        }
        Ok(())
    }
}
