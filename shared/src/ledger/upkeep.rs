//! The roles of who proposes work from the ledger, and of the duties that keep it healthy.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::LedgerError;
use crate::domain::{Class, LogEntry, RunId, TenantId, WorkerId};

/// A queued run that could be claimed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyRun {
    /// The run.
    pub run: RunId,
    /// Its epoch while queued.
    pub epoch: u32,
    /// Whose it is.
    pub tenant: TenantId,
}

/// Reads the queue.
#[async_trait]
pub trait Backlog: Send + Sync {
    /// Up to `limit` runs of a class that are ready, tenants in turn beginning with the first one after
    /// `after_tenant` (in order of name, around the end), oldest first inside a tenant. A tenant that has
    /// `tenant_limit` runs running is passed over. Takes no lock and promises nothing: a proposal may be stale. May
    /// return fewer than there are; returns none only when there are none.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn ready(
        &self,
        class: Class,
        after_tenant: Option<&TenantId>,
        limit: u32,
        tenant_limit: Option<u32>,
    ) -> Result<Vec<ReadyRun>, LedgerError>;
}

/// A run that a duty moved, with the entry that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The run.
    pub run: RunId,
    /// `run.requeued` or a terminal event.
    pub entry: LogEntry,
}

/// Keeps the ledger healthy. One process at a time does each duty, by a lease row.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Takes or keeps the duty `name` for `holder` until `term` from now, by database time; whether it is held.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn hold_duty(&self, name: &str, holder: Uuid, term: Duration) -> Result<bool, LedgerError>;

    /// Incarnations that are not dead and whose lease is over, by database time.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn lapsed_workers(&self) -> Result<Vec<WorkerId>, LedgerError>;

    /// Incarnations that are not dead, whatever their lease says.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn live_workers(&self) -> Result<Vec<WorkerId>, LedgerError>;

    /// Marks an incarnation dead and moves its runs, in one transaction that excludes the incarnation's own writes.
    /// Each run gets a new epoch and goes back to the queue with one more crash counted; it is failed instead when it
    /// crashed `max_crashes` times or when output was visible and its policy is `fail`; it is cancelled when that was
    /// asked for. With `only_lapsed`, nothing happens if the lease was renewed in the meantime.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn reap(&self, worker: WorkerId, max_crashes: u32, only_lapsed: bool) -> Result<Vec<Closed>, LedgerError>;

    /// Moves one running run that its worker lost sight of back to the queue (or cancels it when that was asked for),
    /// if it is still held in this epoch. No crash is counted.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn release(&self, worker: WorkerId, run: RunId, epoch: u32) -> Result<Option<Closed>, LedgerError>;

    /// Fails up to `limit` queued runs whose deadline has passed.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn expire_deadlines(&self, limit: u32) -> Result<Vec<Closed>, LedgerError>;

    /// Makes sure that the log has room for the time to come. Nothing to do on SQLite.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn prepare_partitions(&self) -> Result<(), LedgerError>;

    /// Removes up to `limit` runs that ended longer than `keep` ago, with their results and logs (on Postgres, logs
    /// go by whole partitions once none of their runs is left); how many went.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn forget(&self, keep: Duration, limit: u32) -> Result<u64, LedgerError>;

    /// Removes incarnations dead for longer than `keep`.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn forget_workers(&self, keep: Duration) -> Result<u64, LedgerError>;
}
