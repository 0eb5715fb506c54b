//! Dispatch proposes which run a worker should try next. Hints only: it may lose everything, and what it proposes is
//! true only once the ledger has granted the claim.
//!
//! One backend so far: [`LedgerDispatch`], which reads the queue from the ledger; woken inside one process, polled
//! across processes.

mod ledger;
mod rotation;

use std::sync::Arc;

use async_trait::async_trait;

pub use ledger::LedgerDispatch;
pub use rotation::Rotation;

use crate::domain::{Class, RunId, TenantId};
use crate::ledger::LedgerError;

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
}

/// The side of who accepts work.
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
    /// Up to `limit` runs to try now: classes by weight, tenants in turn, oldest first inside a tenant. Empty when
    /// there is nothing to do.
    ///
    /// # Errors
    /// When the queue cannot be read.
    async fn propose(&self, limit: u32, tenant_limit: Option<u32>) -> Result<Vec<Hint>, LedgerError>;

    /// Returns when there may be something to propose, or after a while. Cancel-safe.
    async fn ready(&self);

    /// Returns when somebody asked to cancel a running run. Cancel-safe. May never return.
    async fn cancel_hinted(&self);
}

/// Both sides of one dispatch.
#[derive(Clone)]
pub struct Dispatch {
    /// For who accepts work.
    pub offer: Arc<dyn Offer>,
    /// For who does it.
    pub propose: Arc<dyn Propose>,
}
