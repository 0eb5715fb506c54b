//! One line about a run for people: how it ended, who answered, what it took. `simulated: true` is always part of it
//! when no model has answered.

use serde_json::Number;

use crate::client::{Accepted, ResultView, Tokens};
use crate::output::SIMULATED;

/// What is known of a run, to be said in one line.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    pub(super) status: Option<String>,
    pub(super) finish_reason: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    pub(super) usage: Option<Tokens>,
    pub(super) cost: Option<Number>,
    pub(super) simulated: bool,
}

impl Summary {
    pub(super) fn of_result(result: &ResultView) -> Self {
        Self {
            status: Some(result.status.to_string()),
            finish_reason: result.finish_reason.clone(),
            provider: result.provider.clone(),
            model: result.model.clone(),
            usage: result.tokens(),
            cost: result.cost_usd.clone(),
            simulated: result.simulated,
        }
    }

    pub(super) fn line(&self) -> String {
        let mut parts: Vec<String> = self.status.iter().cloned().collect();
        parts.extend(
            self.finish_reason
                .as_ref()
                .map(|reason| format!("finish_reason {reason}")),
        );
        match (&self.provider, &self.model) {
            (Some(provider), Some(model)) => parts.push(format!("{provider} / {model}")),
            (Some(one), None) | (None, Some(one)) => parts.push(one.clone()),
            (None, None) => {}
        }
        parts.extend(self.usage.map(tokens));
        parts.extend(
            self.cost
                .as_ref()
                .map(|cost| format!("cost {}", dollars(Some(cost)))),
        );
        parts.extend(self.simulated.then(|| SIMULATED.to_owned()));
        parts.join(" · ")
    }
}

/// What was accepted.
pub(super) fn accepted(accepted: &Accepted, replayed: bool) -> String {
    let mut parts = vec![
        format!("{} {}", accepted.request_id, accepted.status),
        format!("class {}", accepted.class),
    ];
    if replayed {
        parts.push("this idempotency key was used before: nothing new was made".to_owned());
    }
    parts.push(format!("estimate {}", tokens(accepted.estimated_tokens)));
    parts.push(format!("cost {}", dollars(accepted.estimated_cost_usd.as_ref())));
    parts.extend(accepted.simulated.then(|| SIMULATED.to_owned()));
    parts.join(" · ")
}

pub(super) fn tokens(tokens: Tokens) -> String {
    format!("{} tokens in, {} out", tokens.input, tokens.output)
}

/// An unknown price is said to be unknown, never shown as nothing.
pub(super) fn dollars(amount: Option<&Number>) -> String {
    match amount.and_then(Number::as_f64) {
        // Nine decimals are what the ledger keeps; the zeros after the last digit say nothing.
        Some(amount) => format!(
            "${}",
            format!("{amount:.9}").trim_end_matches('0').trim_end_matches('.')
        ),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(dollars(None), "unknown");
        assert_eq!(dollars(Number::from_f64(0.000_012_5).as_ref()), "$0.0000125");
        assert_eq!(dollars(Number::from_f64(0.0).as_ref()), "$0");
        assert_eq!(dollars(Some(&Number::from(120))), "$120");
    }

    #[test]
    fn only_what_is_known_is_said() {
        assert_eq!(Summary::default().line(), "");
        let summary = Summary {
            status: Some("succeeded".to_owned()),
            simulated: true,
            ..Summary::default()
        };
        assert_eq!(summary.line(), "succeeded · simulated: true");
    }
}
