//! What a run is expected to take, said before a provider has counted anything.

use std::sync::Arc;

use serde_json::Value;
use shared::catalog::{Catalog, Model, UsageCounts};
use shared::domain::{Estimate, tokens};

use super::history::History;
use super::names::Meant;
use super::tokenizer::{Tokenizers, Vocabulary};
use super::validate::ValidRequest;

/// Fields whose text is not words: the frame of a message, which is counted by itself, and data, such as a picture in
/// base64, which is not billed by its length.
const NOT_WORDS: [&str; 5] = ["role", "type", "image_url", "input_audio", "file"];

/// Tokens that begin an answer, and that a name costs beside its text, where tokens are counted: OpenAI's cookbook ("How
/// to count tokens with tiktoken"). A message's frame is three and its role's one: [`tokens::PER_MESSAGE`].
const PER_ANSWER: u32 = 3;
const PER_NAME: u32 = 1;

/// The estimate of a request. Who will answer is not known yet: the prompt is as long as for the model that takes most
/// tokens for it among those who might, the cost by the dearest, or by the hinted provider's. Without any price it is
/// unknown, not zero. An answer without a bound is expected to be as long as those of its task type have been.
pub(super) fn estimate(
    request: &ValidRequest,
    catalog: &Catalog,
    auto: Option<&str>,
    history: &History,
    tokenizers: &Tokenizers,
) -> Estimate {
    let models = models(request, catalog, auto);
    let output_tokens = request
        .spec
        .max_tokens
        .or_else(|| by_other_name(request))
        .or_else(|| history.expected(&request.task_type))
        .unwrap_or(tokens::DEFAULT_OUTPUT)
        .min(longest_answer(&models));
    let mut prompt = Prompt::of(request, tokenizers);
    let mut longest = None;
    let mut dearest = None;
    for model in &models {
        let input_tokens = prompt.tokens(Vocabulary::of(model));
        let counts = UsageCounts::plain(input_tokens.into(), output_tokens.into());
        longest = longest.max(Some(input_tokens));
        dearest = dearest.max(model.prices.as_ref().map(|prices| prices.cost(&counts)));
    }
    Estimate {
        input_tokens: longest.unwrap_or_else(|| prompt.tokens(None)),
        output_tokens,
        cost_usd: dearest,
    }
}

/// A request's words, and how long they have turned out to be so far.
struct Prompt<'a> {
    texts: Vec<&'a str>,
    messages: u32,
    names: u32,
    tokenizers: &'a Tokenizers,
    known: Vec<(Option<Vocabulary>, u32)>,
}

impl<'a> Prompt<'a> {
    fn of(request: &'a ValidRequest, tokenizers: &'a Tokenizers) -> Self {
        let mut texts = Vec::new();
        let values = request.messages.iter().chain(request.spec.params.values());
        values.for_each(|value| words(value, &mut texts));
        let named = request
            .messages
            .iter()
            .filter(|message| message["name"].is_string());
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            texts,
            messages: count(request.messages.len()),
            names: count(named.count()),
            tokenizers,
            known: Vec::new(),
        }
    }

    /// Tokens of all of it: counted with the model's vocabulary where there is one, else approximated.
    fn tokens(&mut self, vocabulary: Option<Vocabulary>) -> u32 {
        if let Some((_, tokens)) = self.known.iter().find(|(known, _)| *known == vocabulary) {
            return *tokens;
        }
        let frames = self.messages.saturating_mul(tokens::PER_MESSAGE);
        let texts = self.texts.iter().copied();
        let counted = vocabulary.and_then(|vocabulary| self.tokenizers.count(vocabulary, texts.clone()));
        let tokens = match counted {
            Some(counted) => counted
                .saturating_add(frames)
                .saturating_add(self.names.saturating_mul(PER_NAME))
                .saturating_add(PER_ANSWER),
            None => tokens::approximate(texts.map(str::len).sum()).saturating_add(frames),
        };
        self.known.push((vocabulary, tokens));
        tokens
    }
}

/// Who might answer; nobody in particular where that is chosen by task type.
fn models(request: &ValidRequest, catalog: &Catalog, auto: Option<&str>) -> Vec<Arc<Model>> {
    let Meant::Some(mut models) = Meant::by(&request.spec.model, auto, catalog) else {
        return Vec::new();
    };
    if let Some(hint) = &request.spec.provider_hint
        && models.iter().any(|model| *model.provider == **hint)
    {
        models.retain(|model| *model.provider == **hint);
    }
    models
}

/// The longest answer that one of these can give, where that is known of all.
fn longest_answer(models: &[Arc<Model>]) -> u32 {
    let longest = models.iter().map(|model| model.max_output.unwrap_or(u32::MAX));
    longest.max().unwrap_or(u32::MAX)
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

fn words<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| words(item, texts)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !NOT_WORDS.contains(&name.as_str()))
            .for_each(|(_, value)| words(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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
        let call = json!({ "role": "assistant", "tool_calls": [{ "function": { "name": "f", "arguments": "{}" } }] });
        let mut texts = Vec::new();
        words(&message, &mut texts);
        assert_eq!(texts, ["eight ch"]);
        words(&call, &mut texts);
        texts.sort_unstable();
        assert_eq!(texts, ["eight ch", "f", "{}"]);
    }
}
