//! The counts of tokens in OpenAI's names; Cohere's own stand beside them.
//!
//! Cohere reports two kinds: `billed_units`, what it charges for, and `tokens`, what went through the model, with the
//! instructions it adds itself. The former are reported as used, for they are what costs are made of; the latter stand
//! in where they are missing.

use serde_json::{Map, Value, json};

use crate::providers::wire::Assembly;

/// Takes a report, JSON text.
pub(super) fn take(report: &str, assembly: &mut Assembly) {
    let Ok(mut report) = serde_json::from_str::<Map<String, Value>>(report) else {
        return;
    };
    let billed = |name: &str| {
        ["billed_units", "tokens"]
            .iter()
            .find_map(|kind| count(report.get(*kind)?.get(name)?))
    };
    let (input, output) = (billed("input_tokens"), billed("output_tokens"));
    if input.is_none() && output.is_none() {
        return;
    }
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let cached = report
        .get("cached_tokens")
        .and_then(count)
        .unwrap_or(0)
        .min(input);
    let ours = [
        ("prompt_tokens", json!(input)),
        ("completion_tokens", json!(output)),
        ("total_tokens", json!(input.saturating_add(output))),
        ("prompt_tokens_details", json!({"cached_tokens": cached})),
    ];
    report.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    assembly.usage(&Value::Object(report).to_string());
}

/// Cohere writes its counts as floating numbers, `12.0`.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let whole = value.as_f64().filter(|count| (0.0..1e15).contains(count))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within a range where both are exact"
        )]
        let whole = whole as u64;
        Some(whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(report: &Value) -> Option<(u64, u64, Value)> {
        let mut assembly = Assembly::new(1);
        take(&report.to_string(), &mut assembly);
        let usage = assembly.reported_usage()?;
        Some((usage.input_tokens, usage.output_tokens, usage.raw))
    }

    #[test]
    fn what_is_charged_counts() {
        let report = json!({"billed_units": {"input_tokens": 5.0, "output_tokens": 7},
            "tokens": {"input_tokens": 900.0, "output_tokens": 8.0}, "cached_tokens": 850});
        let (input, output, raw) = taken(&report).unwrap();
        assert_eq!((input, output), (5, 7));
        assert_eq!(raw["prompt_tokens_details"], json!({"cached_tokens": 5}));
        assert_eq!(
            (&raw["tokens"], &raw["total_tokens"]),
            (&report["tokens"], &json!(12))
        );
        let unbilled = json!({"tokens": {"input_tokens": 9.0, "output_tokens": 8.0}});
        let (input, output, _) = taken(&unbilled).unwrap();
        assert_eq!((input, output), (9, 8));
        for silent in [json!({}), json!(null), json!({"tokens": {"input_tokens": -1}})] {
            assert_eq!(taken(&silent), None, "{silent}");
        }
    }
}
