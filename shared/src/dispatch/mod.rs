//! Dispatch proposes which run a worker should try next. Hints only: it may lose everything, and what it proposes is
//! true only once the ledger has granted the claim.
//!
//! Two backends. [`LedgerDispatch`] reads the queue from the ledger, or remembers it where it fills it itself; woken inside one process, polled across
//! processes. [`RedisDispatch`] keeps hints in Redis and wakes processes through it; what it lost it finds in the
//! ledger, and while Redis is away it does as the other one.

mod known;
mod ledger;
mod redis;
mod rotation;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::redis::RedisDispatch;
pub use ledger::LedgerDispatch;
pub use rotation::Rotation;

use crate::domain::{Class, RunId, TenantId};
use crate::ledger::{LedgerError, QueuedRun};

/// That a run could be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The run.
    pub run: RunId,
    /// Its epoch while queued, so that dropping a stale hint cannot drop a fresh one.
    pub epoch: u32,
    /// Whose it is.
    pub tenant: TenantId,
    /// What the scheduler weighs.
    pub class: Class,
    /// Not before so long from now; zero when it could be claimed now. No moment, so that no two clocks are compared.
    pub delay: Duration,
}

impl From<QueuedRun> for Hint {
    fn from(queued: QueuedRun) -> Self {
        Self {
            run: queued.run,
            epoch: queued.epoch,
            tenant: queued.tenant,
            class: queued.class,
            delay: queued.delay,
        }
    }
}

/// The side of who puts runs into the queue: accepts them, or gives them back.
#[async_trait]
pub trait Offer: Send + Sync {
    /// Says that these runs are in the ledger. May be lost, may be repeated.
    async fn offer(&self, hints: &[Hint]);

    /// Says that somebody asked to cancel a running run. May be lost: workers ask the ledger as well.
    async fn cancel_requested(&self, run: RunId);
}

/// The side of who does it.
#[async_trait]
pub trait Propose: Send + Sync {
    /// Up to `limit` runs to try now: classes by weight, tenants in turn, oldest first inside a tenant. May be empty
    /// when something was queued without an offer; whoever asks again and again is told within about a second.
    ///
    /// # Errors
    /// When the queue cannot be read.
    async fn propose(&self, limit: u32, tenant_limit: Option<u32>) -> Result<Vec<Hint>, LedgerError>;

    /// Says what became of a proposal: which of its runs were granted under this limit. What was not is proposed again
    /// if it is still queued. Not to be called when the outcome is unknown: a proposal that is not concluded is
    /// forgotten after a few seconds.
    async fn conclude(&self, proposed: &[Hint], granted: &[RunId], tenant_limit: Option<u32>);

    /// Says that a run of this tenant has ended or gone back to the queue, so that there may be room for another. Only
    /// where there is a limit per tenant.
    fn freed(&self, tenant: &TenantId);

    /// Returns when there may be something to propose, or after a while. Cancel-safe.
    async fn ready(&self);

    /// Returns when somebody asked to cancel a running run. Cancel-safe. May never return.
    async fn cancel_hinted(&self);
}

/// Whether hints can be trusted to be all there are, but for a few that were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Everything queued was offered since the hints were last known to be empty.
    Complete,
    /// Not so: they came up empty, and have to be built again.
    Incomplete,
}

/// Names one rebuild, so that it cannot complete what was emptied while it went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildId(String);

/// Hints cannot be kept now. Workers read the ledger meanwhile.
#[derive(Debug, Clone, thiserror::Error)]
#[error("hints cannot be kept: {0}")]
pub struct HintsAway(String);

/// The side of the duty that puts back what was lost. Only where hints are kept outside the ledger.
#[async_trait]
pub trait Rebuild: Send + Sync {
    /// Whether a rebuild is needed.
    ///
    /// # Errors
    /// When it cannot be said now.
    async fn completeness(&self) -> Result<Completeness, HintsAway>;

    /// Begins a rebuild; an earlier one can no longer complete.
    ///
    /// # Errors
    /// When hints cannot be kept now.
    async fn begin(&self) -> Result<RebuildId, HintsAway>;

    /// Offers runs again. Those that are known stay where they are.
    ///
    /// # Errors
    /// When not all of them were taken.
    async fn restore(&self, hints: &[Hint]) -> Result<(), HintsAway>;

    /// Hints that are not due yet, in the order in which they will be, `limit` of them after the first `skip`.
    ///
    /// # Errors
    /// When it cannot be said now.
    async fn delayed(&self, skip: usize, limit: usize) -> Result<Vec<Hint>, HintsAway>;

    /// Drops hints of runs that ended while they waited: nobody would ask about them before they are due.
    ///
    /// # Errors
    /// When hints cannot be kept now.
    async fn forget(&self, hints: &[Hint]) -> Result<(), HintsAway>;

    /// Ends a rebuild after everything queued was restored; whether that counts. It does not when hints were emptied,
    /// or another rebuild was begun, in between.
    ///
    /// # Errors
    /// When hints cannot be kept now.
    async fn complete(&self, rebuild: &RebuildId) -> Result<bool, HintsAway>;
}

/// All sides of one dispatch.
#[derive(Clone)]
pub struct Dispatch {
    /// For who puts runs into the queue.
    pub offer: Arc<dyn Offer>,
    /// For who does the work.
    pub propose: Arc<dyn Propose>,
    /// For the duty that puts back what was lost; none where nothing is kept that could be.
    pub rebuild: Option<Arc<dyn Rebuild>>,
}
