//! What each kind of run does while it is held: one executor a kind. An executor appends to the journal and says how it
//! ended; it never settles, retries or requeues itself.

pub(crate) mod chat;

use serde_json::{Map, Value};
use shared::domain::Usd;

use crate::journal::JournalError;
use crate::providers::ProviderError;

/// How an execution ended.
pub(crate) enum Outcome {
    /// With an answer, which is in the journal.
    Answered(Answered),
    /// A provider call failed.
    ProviderFailed {
        /// Who was called.
        provider: String,
        /// For which model.
        model: String,
        /// How it failed.
        error: ProviderError,
    },
    /// The run's specification cannot be read.
    BadSpec(serde_json::Error),
    /// The journal takes nothing more.
    Lost(JournalError),
}

/// What is known beside the answer itself.
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
