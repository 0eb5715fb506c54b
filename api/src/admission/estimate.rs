//! What a run is expected to take, said before a provider has counted anything.

use serde_json::Value;
use shared::domain::{Estimate, Price, tokens};

use super::validate::ValidRequest;

/// Parts of a message whose text is data, not words: a picture in base64 is not billed by its length.
const DATA: [&str; 3] = ["image_url", "input_audio", "file"];

/// The estimate of a request. The price is the provider's; without it the cost is unknown, not zero.
pub(super) fn estimate(request: &ValidRequest, price: Option<Price>) -> Estimate {
    let words: usize = request.messages.iter().map(text_bytes).sum();
    let tools: usize = request.spec.params.values().map(text_bytes).sum();
    let messages = u32::try_from(request.messages.len()).unwrap_or(u32::MAX);
    let input_tokens =
        tokens::approximate(words + tools).saturating_add(messages.saturating_mul(tokens::PER_MESSAGE));
    let output_tokens = request.spec.max_tokens.or_else(|| by_other_name(request)).unwrap_or(tokens::DEFAULT_OUTPUT);
    let cost_usd = price.map(|price| price.cost(input_tokens.into(), output_tokens.into()));
    Estimate { input_tokens, output_tokens, cost_usd }
}

/// The newer name of the bound, which some models insist on; it goes through `params`.
fn by_other_name(request: &ValidRequest) -> Option<u32> {
    let bound = request.spec.params.get("max_completion_tokens")?.as_u64()?;
    Some(u32::try_from(bound).unwrap_or(u32::MAX).min(super::validate::MAX_TOKENS))
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !DATA.contains(&name.as_str()))
            .map(|(_, value)| text_bytes(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
