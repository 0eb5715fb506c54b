//! The role of who accepts work: runs in, cancels in.

use std::time::Duration;

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::{
    Class, Estimate, Event, Interruption, Kind, LogEntry, Priority, RunId, RunQueued, Status, TenantId,
    Timestamp, UserHash,
};

/// A validated run, ready to be committed.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Minted by the API, so that an accept may be repeated.
    pub id: RunId,
    /// What it is made of.
    pub kind: Kind,
    /// Who is accounted.
    pub tenant: TenantId,
    /// On whose behalf.
    pub user: Option<UserHash>,
    /// What the scheduler weighs.
    pub class: Class,
    /// As the client gave it.
    pub priority: Priority,
    /// What the client says it is for.
    pub task_type: String,
    /// The model asked for.
    pub model: String,
    /// What happens when its answer breaks off.
    pub on_interruption: Interruption,
    /// From now, by database time.
    pub deadline: Option<Duration>,
    /// Makes repeated submits the same run.
    pub idempotency: Option<Idempotency>,
    /// What it is expected to take.
    pub estimate: Estimate,
    /// The executor's input, as JSON text.
    pub spec: String,
    /// The client's own notes, as JSON text.
    pub metadata: Option<String>,
    /// W3C `traceparent` of the request that submitted it.
    pub trace_parent: Option<String>,
    /// Whether its provider is the simulator.
    pub simulated: bool,
}

impl NewRun {
    /// Data of the run's first event.
    #[must_use]
    pub fn queued_data(&self) -> std::sync::Arc<str> {
        Event::RunQueued(RunQueued {
            class: self.class,
            estimate: self.estimate,
        })
        .to_data(self.simulated)
    }
}

/// A client's idempotency key and what its request said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Unique per tenant.
    pub key: String,
    /// Keyed hash of the request body.
    pub body_hmac: Vec<u8>,
}

/// What became of one run of an accept batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptOutcome {
    /// Committed, with its `run.queued` event.
    Accepted {
        /// By database time.
        created_at: Timestamp,
    },
    /// The key is known and the body is the same: this run was committed earlier.
    Duplicate(RunId),
    /// The key is known and the body is another one.
    KeyReused(RunId),
    /// The database refuses this row; its neighbours are not affected.
    Refused(String),
}

/// What a cancel did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The run was queued and is now cancelled, by this entry.
    Cancelled(LogEntry),
    /// The run is running; its worker will be told.
    Requested,
    /// The run had ended before.
    Ended(Status),
    /// There is no such run.
    Unknown,
}

/// Commits work.
#[async_trait]
pub trait Submit: Send + Sync {
    /// Commits a batch and says for each run what became of it, in order. When the batch as a whole is refused, the
    /// runs are committed singly, so that one bad row fails alone.
    ///
    /// # Errors
    /// Only [`LedgerError::Unavailable`] and [`LedgerError::Corrupt`].
    async fn accept(&self, runs: &[NewRun]) -> Result<Vec<AcceptOutcome>, LedgerError>;

    /// Cancels a queued run at once, or marks a running one for its worker. `by` goes into the event.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn cancel(&self, run: RunId, by: &str) -> Result<CancelOutcome, LedgerError>;
}
