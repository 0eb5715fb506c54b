//! The roles of who proposes work from the ledger, and of the duties that keep it healthy.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Failure, LedgerError};
use crate::domain::{
    Class, Cursor, Event, FailureCode, Interruption, LogEntry, RequeueReason, RunCancelled, RunFailed, RunId,
    RunRequeued, Status, TenantId, Timestamp, WorkerId,
};

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

/// A run that is in the queue, due or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRun {
    /// The run.
    pub run: RunId,
    /// Its epoch while queued.
    pub epoch: u32,
    /// Whose it is.
    pub tenant: TenantId,
    /// What the scheduler weighs.
    pub class: Class,
    /// Not claimed before; database time.
    pub not_before: Timestamp,
    /// What was left until then when the database answered; zero when it is due.
    pub delay: Duration,
    /// Whether its tenant has as many runs running as the limit asked about lets it have; `false` where none was.
    pub full: bool,
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

    /// Those of these runs that are still queued and wait for nothing but their time or their tenant's room (neither
    /// cancelled nor past their deadline), in no order.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn queued(&self, runs: &[RunId], tenant_limit: Option<u32>) -> Result<Vec<QueuedRun>, LedgerError>;

    /// Up to `limit` queued runs as [`Backlog::queued`] would answer them, in the order of the queue: class, tenant,
    /// `not_before`, id; after the last run of the page before, or from the beginning. Fewer than `limit` only at the
    /// end. A run that moves in the queue meanwhile may be seen twice or not at all.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn page(&self, after: Option<&QueuedRun>, limit: u32) -> Result<Vec<QueuedRun>, LedgerError>;
}

/// A run that a duty moved, with the entry that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The run.
    pub run: RunId,
    /// `run.requeued` or a terminal event.
    pub entry: LogEntry,
    /// Where it waits now, if it went back to the queue; due at once, in the entry's epoch.
    pub requeued: Option<Requeued>,
}

/// The part of the queue that a run went back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeued {
    /// Whose it is.
    pub tenant: TenantId,
    /// What the scheduler weighs.
    pub class: Class,
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
    async fn reap(
        &self,
        worker: WorkerId,
        max_crashes: u32,
        only_lapsed: bool,
    ) -> Result<Vec<Closed>, LedgerError>;

    /// Moves one running run that its worker lost sight of back to the queue (or cancels it when that was asked for),
    /// if it is still held in this epoch. No crash is counted. Only for runs of which no write of this worker is under
    /// way: the fence is the worker's row, and it stays alive.
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
    /// go by whole partitions once none of their runs is left); how many went. What their calls took stays accounted.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn forget(&self, keep: Duration, limit: u32) -> Result<u64, LedgerError>;

    /// Removes incarnations dead for longer than `keep`, with what they reported; how many went. News of breakers that
    /// nobody wrote for as long go as well, once they hold nobody back.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn forget_workers(&self, keep: Duration) -> Result<u64, LedgerError>;
}

/// A run that no worker will move any more, as a duty finds it.
pub(super) struct Stranded {
    pub(super) run: RunId,
    pub(super) tenant: TenantId,
    pub(super) class: Class,
    pub(super) epoch: u32,
    pub(super) crashes: u32,
    pub(super) on_interruption: Interruption,
    pub(super) cancel_by: Option<String>,
    pub(super) simulated: bool,
    /// Whether its log has output.
    pub(super) visible: bool,
    /// Database time.
    pub(super) now: Timestamp,
}

/// What is done with it: the same on every database.
pub(super) struct Verdict {
    pub(super) closed: Closed,
    pub(super) status: Status,
    pub(super) crash: bool,
    pub(super) failure: Option<Failure>,
}

impl Stranded {
    /// Its worker died.
    pub(super) fn crashed(self, max_crashes: u32) -> Verdict {
        if self.cancel_by.is_some() {
            return self.cancelled();
        }
        if self.crashes.saturating_add(1) >= max_crashes {
            let message = format!("its worker died {max_crashes} times while executing it");
            return self.failed(FailureCode::CrashedTooOften, message, true, true);
        }
        if self.visible && self.on_interruption == Interruption::Fail {
            let message = "its worker died in the middle of the answer".to_owned();
            return self.failed(FailureCode::Interrupted, message, true, true);
        }
        self.requeued(RequeueReason::WorkerLost, true)
    }

    /// Its worker lost sight of it.
    pub(super) fn released(self) -> Verdict {
        if self.cancel_by.is_some() {
            self.cancelled()
        } else {
            self.requeued(RequeueReason::Released, false)
        }
    }

    /// Its deadline passed while it was queued.
    pub(super) fn expired(self) -> Verdict {
        let message = "its deadline passed while it was queued".to_owned();
        self.failed(FailureCode::DeadlineExceeded, message, false, false)
    }

    fn requeued(self, reason: RequeueReason, crash: bool) -> Verdict {
        let event = Event::RunRequeued(RunRequeued {
            reason,
            not_before: self.now,
        });
        self.verdict(&event, Status::Queued, crash, None)
    }

    fn cancelled(self) -> Verdict {
        let by = self.cancel_by.clone().unwrap_or_default();
        self.verdict(
            &Event::RunCancelled(RunCancelled { by }),
            Status::Cancelled,
            false,
            None,
        )
    }

    fn failed(self, code: FailureCode, message: String, retryable: bool, crash: bool) -> Verdict {
        let failure = Failure {
            code,
            message: message.clone(),
            retryable,
        };
        let event = Event::RunFailed(RunFailed {
            code,
            message,
            retryable,
        });
        self.verdict(&event, Status::Failed, crash, Some(failure))
    }

    fn verdict(&self, event: &Event, status: Status, crash: bool, failure: Option<Failure>) -> Verdict {
        let entry = LogEntry {
            cursor: Cursor::new(self.epoch + 1, 1),
            kind: event.kind(),
            at: self.now,
            data: event.to_data(self.simulated),
        };
        let requeued = (status == Status::Queued).then(|| Requeued {
            tenant: self.tenant.clone(),
            class: self.class,
        });
        Verdict {
            closed: Closed {
                run: self.run,
                entry,
                requeued,
            },
            status,
            crash,
            failure,
        }
    }
}
