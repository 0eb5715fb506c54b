//! What workers tell each other about breakers. Any order, any number of times: the newer of two news wins, and all
//! who have heard the same set agree.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What a breaker says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls may go.
    Closed,
    /// No call may go.
    Open,
    /// A few probes may go.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The name in events, figures and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

super::named::named!(BreakerState, "state of a breaker");

/// The state of a breaker, as far as others must know it. Half-open is nobody else's business: it is `Open` whose time
/// is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewsState {
    /// Calls may go.
    Closed,
    /// No call may go until the time said.
    Open,
}

impl NewsState {
    /// Every state.
    pub const ALL: [Self; 2] = [Self::Closed, Self::Open];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

super::named::named!(NewsState, "state in news of a breaker");

/// One breaker's latest change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerNews {
    /// The provider's name.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// What it changed to.
    pub state: NewsState,
    /// Until when it is open, by the time all workers share.
    pub until: Timestamp,
    /// How many times in a row it opened before; decides how long it stays open.
    pub level: u32,
    /// Counts the changes of this breaker across all workers (a Lamport clock).
    pub version: u64,
    /// Who wrote it: decides between two changes of the same version.
    pub writer: u64,
}

impl BreakerNews {
    /// Whether this replaces `other`. A total order over (version, writer): merging by it is commutative, associative
    /// and idempotent. A worker writes no two news with the same version.
    #[must_use]
    pub const fn newer_than(&self, other: &Self) -> bool {
        self.version > other.version || (self.version == other.version && self.writer > other.writer)
    }
}
