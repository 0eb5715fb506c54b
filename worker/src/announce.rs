//! Saying what the ledger did with runs outside their executor: to whoever watches them, and to dispatch where they went
//! back to the queue. Never decides anything, and never says what is not committed.

use std::sync::Arc;
use std::time::Duration;

use shared::dispatch::{Hint, Offer};
use shared::feed::{Commit, Publish};
use shared::ledger::Closed;

/// Tells of runs that were closed.
#[derive(Clone)]
pub(crate) struct Announcer {
    pub(crate) publish: Arc<dyn Publish>,
    pub(crate) offer: Arc<dyn Offer>,
}

impl Announcer {
    /// Tells of all of them.
    pub(crate) async fn closed(&self, closed: Vec<Closed>) {
        if closed.is_empty() {
            return;
        }
        let hints: Vec<Hint> = closed.iter().filter_map(hint).collect();
        let commit = |closed: Closed| Commit {
            run: closed.run,
            entries: [closed.entry].into(),
        };
        self.publish
            .publish(closed.into_iter().map(commit).collect())
            .await;
        if !hints.is_empty() {
            self.offer.offer(&hints).await;
        }
    }
}

/// That a run can be claimed again; none when it has ended.
fn hint(closed: &Closed) -> Option<Hint> {
    let requeued = closed.requeued.as_ref()?;
    Some(Hint {
        run: closed.run,
        epoch: closed.entry.cursor.epoch,
        tenant: requeued.tenant.clone(),
        class: requeued.class,
        delay: Duration::ZERO,
    })
}
