//! Why a choice came out as it did: every candidate with its figures, its score, or why it was passed over. Goes into the
//! run's log as it is; at most [`LISTED`] candidates are written out, the rest are counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use shared::domain::{self, RouteCandidate, Usd};

use super::breaker::BreakerState;
use super::policy::Policy;

/// Candidates that a report writes out.
pub const LISTED: usize = 12;

/// The report of one choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteReport {
    /// The name that was asked for.
    pub asked: String,
    /// The name that was chosen from, where it is another: a link of a chain, a target of a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// How candidates were weighed.
    pub policy: Policy,
    /// In words.
    pub why: String,
    /// The chosen one first, then by score, then those passed over.
    pub candidates: Vec<CandidateReport>,
    /// Candidates that are not written out.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u32,
    /// How many were passed over, by reason; those that are written out included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub passed_over: BTreeMap<&'static str, u32>,
}

/// One candidate in a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateReport {
    /// The provider's name.
    #[serde(serialize_with = "text")]
    pub provider: Arc<str>,
    /// The provider's name of the model.
    #[serde(serialize_with = "text")]
    pub model: Arc<str>,
    /// Its score; none when it was passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Why it was passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<&'static str>,
    /// What was known of it.
    #[serde(flatten)]
    pub figures: FigureReport,
}

/// Figures of a candidate; what is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureReport {
    /// Milliseconds to the first token.
    pub first_token_ms: Option<f32>,
    /// Tokens per second after it.
    pub tokens_per_second: Option<f32>,
    /// Share of calls that fail, 0 to 1.
    pub error_rate: f32,
    /// Calls of this worker that run there now.
    pub in_flight: u32,
    /// What is left of its rate limit, 0 to 1.
    pub headroom: f32,
    /// The state of its breaker.
    pub breaker: BreakerState,
    /// Its tier, 1 to 5.
    pub quality: Option<u8>,
    /// What this run is expected to cost there.
    pub cost_usd: Option<Usd>,
}

impl RouteReport {
    /// The choice as the log keeps it, and why it came out so.
    #[must_use]
    pub fn for_log(self) -> (String, domain::RouteReport) {
        let report = domain::RouteReport {
            asked: self.asked,
            resolved: self.resolved,
            policy: self.policy,
            candidates: self
                .candidates
                .into_iter()
                .map(CandidateReport::for_log)
                .collect(),
            more: self.more,
            passed_over: self
                .passed_over
                .into_iter()
                .map(|(why, count)| (why.to_owned(), count))
                .collect(),
        };
        (self.why, report)
    }
}

impl CandidateReport {
    fn for_log(self) -> RouteCandidate {
        let figures = self.figures;
        RouteCandidate {
            provider: self.provider.as_ref().to_owned(),
            model: self.model.as_ref().to_owned(),
            score: self.score,
            passed_over: self.passed_over.map(str::to_owned),
            first_token_ms: figures.first_token_ms,
            tokens_per_second: figures.tokens_per_second,
            error_rate: figures.error_rate,
            in_flight: figures.in_flight,
            headroom: figures.headroom,
            breaker: figures.breaker,
            quality: figures.quality,
            cost_usd: figures.cost_usd,
        }
    }
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
