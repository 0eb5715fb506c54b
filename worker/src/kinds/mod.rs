//! What each kind of run does while it is held: one executor a kind. An executor appends to the journal and says how it
//! ended; it never settles or requeues itself.

pub(crate) mod chat;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use shared::config::WorkerConfig;
use shared::domain::{FailureCode, RequeueReason, Timestamp, Usd, WorkerId};

use crate::journal::JournalError;
use crate::ledger_time::LedgerTime;
use crate::roster::Roster;

/// What executors work with.
pub(crate) struct Tools {
    pub(crate) roster: Arc<Roster>,
    pub(crate) config: WorkerConfig,
    pub(crate) time: LedgerTime,
    pub(crate) worker: WorkerId,
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With an answer, which is in the journal.
    Answered(Answered),
    /// For good.
    Failed(Failed),
    /// Not now: it goes back to the queue.
    Later {
        /// Why.
        reason: RequeueReason,
        /// How long it is not to be claimed.
        wait: Duration,
        /// Until when it waits for providers that are ill; none when it waits for something else.
        waits_until: Option<Timestamp>,
    },
    /// The run's specification cannot be read.
    BadSpec(serde_json::Error),
    /// The journal takes nothing more.
    Lost(JournalError),
}

/// Why it ended without an answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: FailureCode,
    /// What the caller may read.
    pub(crate) message: String,
    /// Whether submitting it again may succeed.
    pub(crate) retryable: bool,
}

/// What is known beside the answer itself.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) finish_reason: String,
    /// What the provider said beside the answer.
    pub(crate) metadata: Map<String, Value>,
    /// The provider's report as JSON text.
    pub(crate) usage: Option<String>,
    pub(crate) cost: Option<Usd>,
}
