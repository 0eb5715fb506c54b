//! What a run is expected to take, said before a provider has counted anything.

use serde_json::Value;
use shared::domain::{Estimate, Price, tokens};

use super::validate::ValidRequest;

/// Fields whose text is not words: the frame of a message, which is counted by itself, and data, such as a picture in
/// base64, which is not billed by its length.
const NOT_WORDS: [&str; 5] = ["role", "type", "image_url", "input_audio", "file"];

/// The estimate of a request. The price is the provider's; without it the cost is unknown, not zero.
pub(super) fn estimate(request: &ValidRequest, price: Option<Price>) -> Estimate {
    let words: usize = request.messages.iter().map(text_bytes).sum();
    let tools: usize = request.spec.params.values().map(text_bytes).sum();
    let messages = u32::try_from(request.messages.len()).unwrap_or(u32::MAX);
    let input_tokens =
        tokens::approximate(words + tools).saturating_add(messages.saturating_mul(tokens::PER_MESSAGE));
    let output_tokens = request
        .spec
        .max_tokens
        .or_else(|| by_other_name(request))
        .unwrap_or(tokens::DEFAULT_OUTPUT);
    let cost_usd = price.map(|price| price.cost(input_tokens.into(), output_tokens.into()));
    Estimate {
        input_tokens,
        output_tokens,
        cost_usd,
    }
}

/// The newer name of the bound, which some models insist on; it goes through `params`.
fn by_other_name(request: &ValidRequest) -> Option<u32> {
    let bound = request.spec.params.get("max_completion_tokens")?.as_u64()?;
    Some(
        u32::try_from(bound)
            .unwrap_or(u32::MAX)
            .min(super::validate::MAX_TOKENS),
    )
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !NOT_WORDS.contains(&name.as_str()))
            .map(|(_, value)| text_bytes(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_count_and_frames_and_pictures_do_not() {
        let message = json!({ "role": "user", "content": [
            { "type": "text", "text": "eight ch" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAA" } },
        ] });
        assert_eq!(text_bytes(&message), 8);
        let call = json!({ "role": "assistant", "tool_calls": [{ "function": { "name": "f", "arguments": "{}" } }] });
        assert_eq!(text_bytes(&call), 3);
    }
}
