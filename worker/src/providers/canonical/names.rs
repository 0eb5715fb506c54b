//! Which names of parameters are OpenAI's. What is not OpenAI's is a provider's own, and passes through to it.

use std::borrow::Cow;

use serde_json::{Map, Value};
use shared::catalog::Quirks;

use super::Params;
use crate::providers::ChatCall;

/// Every parameter of OpenAI's chat completions, and `top_k`, which most of its imitators understand. Source: "Create
/// chat completion" in OpenAI's API reference.
///
/// Of these, a dialect may leave out without a word what names, accounts, stores or speeds up a call, and what is no
/// more than a wish to OpenAI itself: `metadata`, `prediction`, `prompt_cache_key`, `prompt_cache_retention`,
/// `safety_identifier`, `seed`, `service_tier`, `store`, `user`, `verbosity`.
const OPENAI: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

impl<'a> Params<'a> {
    /// The parameters that are not OpenAI's.
    pub(in crate::providers) fn own(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.iter().filter(|(name, _)| !OPENAI.contains(name))
    }
}

/// The call without the parameters that this server refuses. `kept` is where they live meanwhile.
pub(in crate::providers) fn without_dropped<'a>(
    call: &ChatCall<'a>,
    quirks: &Quirks,
    kept: &'a Map<String, Value>,
) -> ChatCall<'a> {
    let dropped = |name: &str| quirks.dropped_params.iter().any(|dropped| dropped == name);
    ChatCall {
        params: kept,
        temperature: call.temperature.filter(|_| !dropped("temperature")),
        max_tokens: call.max_tokens.filter(|_| !dropped("max_tokens")),
        ..*call
    }
}

/// The parameters without those that this server refuses.
pub(in crate::providers) fn kept<'a>(
    params: &'a Map<String, Value>,
    quirks: &Quirks,
) -> Cow<'a, Map<String, Value>> {
    if quirks.dropped_params.is_empty() {
        return Cow::Borrowed(params);
    }
    let mut params = params.clone();
    params.retain(|name, _| !quirks.dropped_params.contains(name));
    Cow::Owned(params)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn own_fields_are_told_from_openais_and_dropped_ones_are_gone() {
        let params = json!({"top_p": 0.5, "user": "u", "safetySettings": [], "guardrailConfig": {}, "x": null,
            "temperature": 1});
        let params = params.as_object().unwrap();
        let quirks = Quirks {
            dropped_params: ["temperature", "guardrailConfig"].map(str::to_owned).to_vec(),
            ..Quirks::default()
        };
        let messages = RawValue::from_string("[]".to_owned()).unwrap();
        let call = ChatCall {
            model: "m",
            messages: &messages,
            max_tokens: Some(7),
            model_max_output: None,
            beginning: None,
            temperature: Some(0.5),
            params,
            stream: true,
            traceparent: None,
        };
        let names = |params: &Map<String, Value>| {
            let own: Vec<String> = Params::new(params)
                .own()
                .map(|(name, _)| name.to_owned())
                .collect();
            own
        };
        assert_eq!(names(params), ["guardrailConfig", "safetySettings"]);
        let kept = kept(params, &quirks);
        let call = without_dropped(&call, &quirks, &kept);
        assert_eq!(names(call.params), ["safetySettings"]);
        assert_eq!((call.temperature, call.max_tokens), (None, Some(7)));
        assert_eq!(call.params.get("temperature"), None);
        assert_eq!(call.params["top_p"], 0.5);
    }
}
