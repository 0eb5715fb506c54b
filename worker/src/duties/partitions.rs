//! Keeps partitions of the log ready for the weeks to come.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::{LedgerError, Upkeep};

use super::Duty;

pub(super) struct Partitions {
    upkeep: Arc<dyn Upkeep>,
}

impl Partitions {
    pub(super) fn new(upkeep: Arc<dyn Upkeep>) -> Self {
        Self { upkeep }
    }
}

#[async_trait]
impl Duty for Partitions {
    fn name(&self) -> &'static str {
        "partitions"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(3_600)
    }

    async fn perform(&mut self) -> Result<(), LedgerError> {
        self.upkeep.prepare_partitions().await
    }
}
