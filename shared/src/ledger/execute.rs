//! The role of who does the work: register, renew, claim, append.

use std::time::Duration;

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::{
    Class, FailureCode, Interruption, Kind, LogEntry, RequeueReason, RunId, Status, TenantId, Timestamp,
    UsageRecord, Usd, WorkerId,
};

/// A worker incarnation that introduces itself.
#[derive(Debug, Clone)]
pub struct NewWorker {
    /// This incarnation.
    pub id: WorkerId,
    /// For people: host and process.
    pub name: String,
    /// Runs it executes at the same time.
    pub slots: u32,
}

/// What a renewal answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease holds for another term from `now`, database time.
    Renewed {
        /// Database time.
        now: Timestamp,
    },
    /// The incarnation is dead: its runs belong to others.
    Dead,
}

/// A run this worker now holds.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The run.
    pub id: RunId,
    /// Its executor.
    pub kind: Kind,
    /// Who is accounted.
    pub tenant: TenantId,
    /// What the scheduler weighed.
    pub class: Class,
    /// What the client says it is for.
    pub task_type: String,
    /// Minted for this claim: every entry of it carries this epoch.
    pub epoch: u32,
    /// Provider calls of earlier attempts that failed.
    pub retries: u32,
    /// Until when it waits for providers that are ill; none while it does not wait for any.
    pub waits_until: Option<Timestamp>,
    /// What happens when its answer breaks off.
    pub on_interruption: Interruption,
    /// What is left until its deadline.
    pub deadline: Option<Duration>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The executor's input, as JSON text.
    pub spec: String,
    /// W3C `traceparent` of the request that submitted it.
    pub trace_parent: Option<String>,
    /// Whether its provider is the simulator.
    pub simulated: bool,
    /// The `attempt.started` entry committed with the claim: entry 1 of the epoch.
    pub started: LogEntry,
}

impl Claimed {
    /// The claim, by what tells it from others of the same run.
    #[must_use]
    pub const fn held(&self) -> Held {
        Held {
            run: self.id,
            epoch: self.epoch,
        }
    }
}

/// What one run appends in one commit.
#[derive(Debug, Clone)]
pub struct Write {
    /// The run.
    pub run: RunId,
    /// The epoch of the claim; all entries are of it.
    pub epoch: u32,
    /// In order, dense.
    pub entries: Vec<LogEntry>,
    /// Calls of providers that ended since the write before. Written with the entries or not at all: what is fenced is
    /// not accounted either, for whoever took the run over makes and accounts calls of its own. Only beside entries: by
    /// these it is told whether a write is in the ledger.
    pub usage: Vec<UsageRecord>,
    /// What happens to the run with them.
    pub then: Then,
}

impl Write {
    /// The claim that appends it.
    #[must_use]
    pub const fn held(&self) -> Held {
        Held {
            run: self.run,
            epoch: self.epoch,
        }
    }
}

/// What happens to a run together with its entries.
#[derive(Debug, Clone)]
pub enum Then {
    /// It goes on running.
    Continue,
    /// It ends; the last entry is the terminal event.
    Settle(Box<RunResult>),
    /// It goes back to the queue; the last entry is `run.requeued`.
    Requeue {
        /// Why.
        reason: RequeueReason,
        /// Not claimed before.
        not_before: Timestamp,
        /// Provider calls of this attempt that failed: added to [`Claimed::retries`].
        failed_calls: u32,
        /// The next claim's [`Claimed::waits_until`].
        waits_until: Option<Timestamp>,
    },
}

/// How a run ended, for the table of results.
#[derive(Debug, Clone, PartialEq)]
pub struct RunResult {
    /// Terminal.
    pub status: Status,
    /// The answer (also a partial one) as JSON text of [`crate::domain::Answer`].
    pub answer: Option<String>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Who answered.
    pub provider: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The provider's usage report as JSON text.
    pub usage: Option<String>,
    /// What it cost; none when the price is unknown.
    pub cost: Option<Usd>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

impl RunResult {
    /// An end without an answer.
    #[must_use]
    pub const fn without_answer(status: Status, failure: Option<Failure>) -> Self {
        Self {
            status,
            answer: None,
            finish_reason: None,
            provider: None,
            model: None,
            usage: None,
            cost: None,
            failure,
        }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable code.
    pub code: FailureCode,
    /// For people.
    pub message: String,
    /// Whether submitting it again may succeed.
    pub retryable: bool,
}

/// What became of one run's write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// In the ledger.
    Committed,
    /// In the ledger; but somebody had asked to cancel the run, so instead of going back to the queue it ended by this
    /// entry, the first of the next epoch.
    Overtaken(LogEntry),
    /// Not written: the run is no longer this worker's in this epoch.
    Fenced,
}

/// Whether something is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// A claim: a run that the ledger believes to be running on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// Its current epoch.
    pub epoch: u32,
}

/// Executes work.
#[async_trait]
pub trait Execute: Send + Sync {
    /// Introduces an incarnation with a lease. Answers database time. May be repeated.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn register(&self, worker: &NewWorker, lease: Duration) -> Result<Timestamp, LedgerError>;

    /// Extends the lease by `lease` from now, by database time; `draining` says that no more will be claimed.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn renew(&self, worker: WorkerId, lease: Duration, draining: bool) -> Result<Renewal, LedgerError>;

    /// Tries to claim these runs; what does not come back was a stale hint (taken, ended, delayed, past its deadline,
    /// or beyond its tenant's limit). Each claim mints an epoch and commits `attempt.started`. At most `tenant_limit`
    /// runs of a tenant are ever running at the same time.
    ///
    /// # Errors
    /// When the ledger is away; runs may then be claimed all the same: see [`Execute::held`].
    async fn claim(
        &self,
        worker: WorkerId,
        runs: &[RunId],
        tenant_limit: Option<u32>,
    ) -> Result<Vec<Claimed>, LedgerError>;

    /// Commits what several runs append, all in one transaction that sees this incarnation alive. A run that is no
    /// longer this worker's is left out and answered [`WriteOutcome::Fenced`]; the others are not affected.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: not known whether it was committed, see [`Execute::committed`].
    /// [`LedgerError::Refused`]: nothing was committed.
    async fn append(&self, worker: WorkerId, writes: &[Write]) -> Result<Vec<WriteOutcome>, LedgerError>;

    /// Whether these writes are in the ledger, told by the first entry of each. For use after an
    /// [`Execute::append`] whose outcome is not known.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn committed(&self, writes: &[Write]) -> Result<Vec<Committed>, LedgerError>;

    /// Runs of this worker that somebody asked to cancel, with who asked.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn cancel_requests(&self, worker: WorkerId) -> Result<Vec<(RunId, String)>, LedgerError>;

    /// Every run the ledger believes to be running on this worker.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn held(&self, worker: WorkerId) -> Result<Vec<Held>, LedgerError>;
}
