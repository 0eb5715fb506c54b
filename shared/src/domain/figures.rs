//! What a worker last saw of the providers it can call, as it reports it to the ledger for people to look at. Nothing
//! routes by it: a router has its own figures. Holds no keys, only how many there are.

use serde::{Deserialize, Serialize};

use super::{BreakerState, Timestamp, Usd};

/// The longest report, in bytes of JSON.
pub const MAX_REPORT: usize = 64 * 1024;

/// One worker's report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FiguresReport {
    /// Providers it can call, sorted by name.
    pub providers: Vec<LiveFigures>,
    /// Provider and model pairs it has called or heard of, most calls first.
    pub models: Vec<ModelFigures>,
    /// Pairs that found no room in the report.
    #[serde(default)]
    pub more: u32,
}

/// A provider that a worker can call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveFigures {
    /// Its name.
    pub provider: String,
    /// How many keys take turns; 0 where it needs none.
    pub keys: u32,
    /// Whether it runs beside us.
    #[serde(default)]
    pub local: bool,
    /// Whether it is the simulator.
    #[serde(default)]
    pub simulated: bool,
}

/// What a worker knows of one model at one provider. What is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFigures {
    /// The provider's name.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// Calls that ended, since the worker began.
    pub calls: u64,
    /// Of these: failed by the provider's fault.
    pub failures: u64,
    /// Milliseconds to the first token.
    pub first_token_ms: Option<f32>,
    /// Tokens per second after it.
    pub tokens_per_second: Option<f32>,
    /// Share of calls that fail, 0 to 1.
    pub error_rate: f32,
    /// Calls that run now.
    pub in_flight: u32,
    /// What is left of the rate limit, 0 to 1.
    pub headroom: f32,
    /// The state of its breaker.
    pub breaker: BreakerState,
    /// Until when it is open; none while it is not.
    #[serde(default)]
    pub open_until: Option<Timestamp>,
    /// What its calls cost in all, as far as that is known.
    pub cost_usd: Usd,
}

impl FiguresReport {
    /// The report as JSON of at most [`MAX_REPORT`] bytes: pairs at the end of the list go first, and are counted.
    #[must_use]
    pub fn to_json(mut self) -> String {
        loop {
            // Plain structs of texts and numbers always serialise.
            let text = serde_json::to_string(&self).unwrap_or_default();
            if text.len() <= MAX_REPORT {
                return text;
            }
            if self.models.is_empty() {
                self.providers.pop();
                continue;
            }
            // By the average length of an entry; at least one, so that it ends.
            let keep = self.models.len() * MAX_REPORT / text.len();
            let keep = keep.min(self.models.len() - 1);
            let gone = self.models.len() - keep;
            self.models.truncate(keep);
            self.more = self.more.saturating_add(u32::try_from(gone).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(number: usize) -> ModelFigures {
        ModelFigures {
            provider: "somebody".to_owned(),
            model: format!("{number:0>100}"),
            calls: 1,
            failures: 0,
            first_token_ms: Some(12.5),
            tokens_per_second: None,
            error_rate: 0.0,
            in_flight: 0,
            headroom: 1.0,
            breaker: BreakerState::Closed,
            open_until: None,
            cost_usd: Usd::from_nanos(5),
        }
    }

    #[test]
    fn a_long_report_keeps_what_comes_first_and_counts_the_rest() {
        let report = FiguresReport {
            models: (0..5_000).map(pair).collect(),
            ..FiguresReport::default()
        };
        let text = report.clone().to_json();
        assert!(text.len() <= MAX_REPORT, "{}", text.len());
        let read: FiguresReport = serde_json::from_str(&text).unwrap();
        assert!(read.models.len() > 100, "{}", read.models.len());
        assert_eq!(read.models.len() + read.more as usize, 5_000);
        assert_eq!(read.models[..], report.models[..read.models.len()]);
    }
}
