//! What one call of a provider took and cost: the rows of accounting. One per call, also for calls that failed, that
//! nobody waited for any more, or that lost a race. Tenant, user and whether the run is simulated are the ledger's to
//! add: they are the run's.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FailureCode, Timestamp, Usd};

/// One call of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// Which call of the epoch it was, counted from 1.
    pub call: u32,
    /// The provider's name.
    pub provider: Arc<str>,
    /// The provider's name of the model.
    pub model: Arc<str>,
    /// Which of the provider's keys, counted from 0; none where it has no key. Never the key.
    pub key: Option<u32>,
    /// How it ended.
    pub outcome: CallOutcome,
    /// Why it failed; only where it did.
    pub error: Option<FailureCode>,
    /// What was counted.
    pub tokens: CallTokens,
    /// What it cost by the prices of that time, or why that is not known. Never 0 for want of a price.
    pub cost: Result<Usd, CostUnknown>,
    /// Whether the tokens (and so the cost) are our count and not the provider's.
    pub estimated: bool,
    /// From the call to the first visible output; none when there was none.
    pub first_token: Option<Duration>,
    /// From the call to its end.
    pub duration: Duration,
    /// The provider's id of the call, for questions to its support.
    pub provider_request_id: Option<String>,
    /// When it began; database time as the worker knows it.
    pub started_at: Timestamp,
}

/// Tokens of a call, in OpenAI's way of counting: what is cached or reasoned is part of the whole it belongs to. What
/// was not reported is none, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTokens {
    /// All tokens of the prompt.
    pub input: Option<u64>,
    /// All tokens generated.
    pub output: Option<u64>,
    /// Of the input: read from the provider's cache.
    pub cached_input: Option<u64>,
    /// Of the input: written to the provider's cache.
    pub cache_write: Option<u64>,
    /// Of the output: reasoning.
    pub reasoning: Option<u64>,
}

/// How a call of a provider ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// With an answer, complete.
    Succeeded,
    /// With an error, before any output was visible.
    Failed,
    /// The run was cancelled, or its worker gave it up.
    Cancelled,
    /// Another provider was asked as well, and answered first.
    Hedged,
    /// With an error, after output was visible.
    Interrupted,
}

impl CallOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Hedged,
        Self::Interrupted,
    ];

    /// The name in the database and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Hedged => "hedged",
            Self::Interrupted => "interrupted",
        }
    }
}

super::named::named!(CallOutcome, "outcome of a call");

/// Why the cost of a call is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostUnknown {
    /// The catalog has no price of the model.
    NoPrice,
    /// The provider did not say what it counted.
    NoUsage,
}

impl CostUnknown {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::NoPrice, Self::NoUsage];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPrice => "no_price",
            Self::NoUsage => "no_usage",
        }
    }
}

super::named::named!(CostUnknown, "reason of an unknown cost");
