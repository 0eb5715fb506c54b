//! The count of tokens (`usageMetadata`), with OpenAI's names added beside Gemini's own. OpenAI counts what was
//! thought as generated, and what tools put into the prompt as prompt; Gemini counts both apart.

use serde_json::{Map, Value, json};

/// The report with OpenAI's names; none while it says nothing of the prompt. Stands in every event of a stream, and
/// grows with it.
pub(super) fn report(mut theirs: Map<String, Value>) -> Option<Value> {
    let count = |name: &str| theirs.get(name).and_then(Value::as_u64);
    let sum = |names: [&str; 2]| names.into_iter().filter_map(count).fold(0, u64::saturating_add);
    count("promptTokenCount")?;
    let prompt = sum(["promptTokenCount", "toolUsePromptTokenCount"]);
    let completion = sum(["candidatesTokenCount", "thoughtsTokenCount"]);
    let total = count("totalTokenCount").unwrap_or(prompt.saturating_add(completion));
    let cached = count("cachedContentTokenCount");
    let reasoning = count("thoughtsTokenCount");
    let mut add = |name: &str, value: Value| {
        theirs.insert(name.to_owned(), value);
    };
    add("prompt_tokens", prompt.into());
    add("completion_tokens", completion.into());
    add("total_tokens", total.into());
    add(
        "prompt_tokens_details",
        json!({"cached_tokens": cached.unwrap_or(0)}),
    );
    add(
        "completion_tokens_details",
        json!({"reasoning_tokens": reasoning.unwrap_or(0)}),
    );
    Some(Value::Object(theirs))
}
