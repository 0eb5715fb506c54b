//! The counts of tokens: Anthropic's, which do not count cached input as input and come in two parts, become OpenAI's,
//! which do. Its own stand beside them in the same report, by their own names.
//!
//! Source: "Usage" in Anthropic's reference of Messages: all input is `input_tokens`, `cache_creation_input_tokens`
//! and `cache_read_input_tokens` together; counts in later events are of everything so far.

use serde_json::{Map, Value, json};

use crate::providers::wire::Assembly;

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally(Map<String, Value>);

impl Tally {
    /// Takes a report, JSON text. A count in it is the newer one; what it does not say still holds.
    pub(super) fn take(&mut self, report: &str, assembly: &mut Assembly) {
        let Ok(report) = serde_json::from_str::<Map<String, Value>>(report) else {
            return;
        };
        self.0
            .extend(report.into_iter().filter(|(_, value)| !value.is_null()));
        assembly.usage(&self.report().to_string());
    }

    fn report(&self) -> Value {
        let count = |name: &str| self.0.get(name).and_then(Value::as_u64).unwrap_or(0);
        let cached = count("cache_read_input_tokens");
        let input = count("input_tokens")
            .saturating_add(count("cache_creation_input_tokens"))
            .saturating_add(cached);
        let output = count("output_tokens");
        let thinking = self
            .0
            .get("output_tokens_details")
            .and_then(|details| details.get("thinking_tokens"))
            .and_then(Value::as_u64);
        let mut report = self.0.clone();
        report.insert("prompt_tokens".to_owned(), json!(input));
        report.insert("completion_tokens".to_owned(), json!(output));
        report.insert("total_tokens".to_owned(), json!(input.saturating_add(output)));
        report.insert(
            "prompt_tokens_details".to_owned(),
            json!({"cached_tokens": cached}),
        );
        if let Some(thinking) = thinking {
            report.insert(
                "completion_tokens_details".to_owned(),
                json!({"reasoning_tokens": thinking}),
            );
        }
        Value::Object(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_newer_ones_hold() {
        let (mut tally, mut assembly) = (Tally::default(), Assembly::new(1));
        tally.take(
            r#"{"input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 70,
                "output_tokens": 1, "service_tier": "standard"}"#,
            &mut assembly,
        );
        tally.take(
            r#"{"input_tokens": null, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}"#,
            &mut assembly,
        );
        tally.take("null", &mut assembly);
        tally.take("7", &mut assembly);
        let usage = assembly.reported_usage().unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (100, 9));
        assert_eq!(
            usage.raw,
            json!({
                "prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109,
                "prompt_tokens_details": {"cached_tokens": 70},
                "completion_tokens_details": {"reasoning_tokens": 4},
                "input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 70,
                "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}, "service_tier": "standard",
            })
        );
    }
}
