//! The counts of tokens, with OpenAI's names added beside Bedrock's own. Bedrock counts what it read from its cache or
//! wrote to it apart from other input; OpenAI counts all of it. How much was thought, Bedrock does not say.

use serde_json::{Map, Value, json};

/// The report with OpenAI's names.
pub(super) fn report(mut theirs: Map<String, Value>) -> Value {
    let count = |name: &str| theirs.get(name).and_then(Value::as_u64).unwrap_or(0);
    let cached = count("cacheReadInputTokens");
    let prompt = count("inputTokens")
        .saturating_add(cached)
        .saturating_add(count("cacheWriteInputTokens"));
    let completion = count("outputTokens");
    theirs.insert("prompt_tokens".to_owned(), prompt.into());
    theirs.insert("completion_tokens".to_owned(), completion.into());
    theirs.insert(
        "total_tokens".to_owned(),
        prompt.saturating_add(completion).into(),
    );
    theirs.insert(
        "prompt_tokens_details".to_owned(),
        json!({"cached_tokens": cached}),
    );
    Value::Object(theirs)
}
