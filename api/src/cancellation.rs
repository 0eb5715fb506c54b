//! Cancelling a run, from whichever surface it was asked: the ledger decides, then whoever has to know is told.

use std::sync::Arc;

use shared::dispatch::Offer;
use shared::domain::RunId;
use shared::feed::{Commit, Publish};
use shared::ledger::{CancelOutcome, LedgerError, Submit};

/// Cancels runs. Does not ask who may.
#[derive(Clone)]
pub(crate) struct Canceller {
    submit: Arc<dyn Submit>,
    offer: Arc<dyn Offer>,
    publish: Arc<dyn Publish>,
}

impl Canceller {
    pub(crate) const fn new(
        submit: Arc<dyn Submit>,
        offer: Arc<dyn Offer>,
        publish: Arc<dyn Publish>,
    ) -> Self {
        Self {
            submit,
            offer,
            publish,
        }
    }

    /// Cancels a queued run at once, or asks the worker of a running one to stop. `by` goes into the log. May be
    /// repeated.
    ///
    /// # Errors
    /// When the ledger is away.
    pub(crate) async fn cancel(&self, run: RunId, by: &str) -> Result<CancelOutcome, LedgerError> {
        let outcome = self.submit.cancel(run, by).await?;
        match &outcome {
            CancelOutcome::Cancelled(entry) => {
                let entries = Arc::from([entry.clone()]);
                self.publish.publish(vec![Commit { run, entries }]).await;
                tracing::info!(%run, by, "cancelled while queued");
            }
            CancelOutcome::Requested => {
                self.offer.cancel_requested(run).await;
                tracing::info!(%run, by, "cancel asked for");
            }
            CancelOutcome::Ended(_) | CancelOutcome::Unknown => {}
        }
        Ok(outcome)
    }
}
