//! How a run came to its provider, as the log tells it: who was chosen, who else could have been, what was known of each,
//! and why the others were passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BreakerState, Policy, Usd};

/// Data of `route.selected`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteSelected {
    /// The provider's name.
    pub provider: String,
    /// The model asked of it.
    pub model: String,
    /// Why this one.
    pub why: String,
    /// Whether it is asked beside another one that has not answered yet: the first to answer is taken.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hedge: bool,
    /// What the choice was made from.
    #[serde(flatten)]
    pub report: RouteReport,
}

/// Data of `route.unavailable`: nobody can take the run now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteUnavailable {
    /// Why, in words.
    pub why: String,
    /// Who was passed over.
    #[serde(flatten)]
    pub report: RouteReport,
}

/// What a choice was made from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteReport {
    /// The name that was asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub asked: String,
    /// The name that was chosen from, where it is another: a link of a chain, a target of a split.
    #[serde(skip_serializing_if = "is_default")]
    pub resolved: Option<String>,
    /// How candidates were weighed.
    pub policy: Policy,
    /// The chosen one first, then by score, then those passed over.
    #[serde(skip_serializing_if = "is_default")]
    pub candidates: Vec<RouteCandidate>,
    /// Candidates that are not written out.
    #[serde(skip_serializing_if = "is_default")]
    pub more: u32,
    /// How many were passed over, by reason; those that are written out included.
    #[serde(skip_serializing_if = "is_default")]
    pub passed_over: BTreeMap<String, u32>,
}

/// One candidate. What is not known of it is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteCandidate {
    /// The provider's name.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// Its score; absent when it was passed over.
    #[serde(default, skip_serializing_if = "is_default")]
    pub score: Option<f32>,
    /// Why it was passed over.
    #[serde(default, skip_serializing_if = "is_default")]
    pub passed_over: Option<String>,
    /// Milliseconds to the first token.
    pub first_token_ms: Option<f32>,
    /// Tokens per second after it.
    pub tokens_per_second: Option<f32>,
    /// Share of calls that fail, 0 to 1.
    pub error_rate: f32,
    /// Calls of this worker that ran there.
    pub in_flight: u32,
    /// What was left of its rate limit, 0 to 1.
    pub headroom: f32,
    /// The state of its breaker.
    pub breaker: BreakerState,
    /// Its tier, 1 to 5.
    pub quality: Option<u8>,
    /// What the run was expected to cost there.
    pub cost_usd: Option<Usd>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_older_version_wrote_still_parses() {
        let old = json!({"provider": "p", "model": "m", "why": "the only one"});
        let route: RouteSelected = serde_json::from_value(old).unwrap();
        assert_eq!((route.hedge, route.report), (false, RouteReport::default()));
    }

    #[test]
    fn a_choice_is_one_flat_object() {
        let candidate = RouteCandidate {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            score: Some(0.5),
            passed_over: None,
            first_token_ms: Some(120.0),
            tokens_per_second: None,
            error_rate: 0.25,
            in_flight: 1,
            headroom: 1.0,
            breaker: BreakerState::Closed,
            quality: None,
            cost_usd: None,
        };
        let route = RouteSelected {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            why: "the best of 2".to_owned(),
            hedge: false,
            report: RouteReport {
                asked: "m".to_owned(),
                candidates: vec![candidate],
                passed_over: [("breaker_open".to_owned(), 1)].into(),
                ..RouteReport::default()
            },
        };
        let written = serde_json::to_value(&route).unwrap();
        assert_eq!(written["candidates"][0]["score"], 0.5);
        assert_eq!(written["passed_over"], json!({"breaker_open": 1}));
        assert_eq!(written.get("hedge"), None);
        let text = written.to_string();
        assert_eq!(serde_json::from_str::<RouteSelected>(&text).unwrap(), route);
    }
}
