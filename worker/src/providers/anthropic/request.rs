//! The body of a request: our own fields, what OpenAI's parameters become, and the rest as it came, for Anthropic's
//! own parameters (`container`, `cache_control`, `inference_geo`, ...) and those of others who speak its protocol.
//!
//! Left out for want of a form: penalties, `logit_bias` (its numbers are those of another tokenizer), and what
//! `canonical` says may always be left out.

use serde_json::{Map, Value, json};
use shared::catalog::Quirks;

use super::conversation::Conversation;
use super::generation::Generation;
use super::structure::{INSTRUCTION, Structure};
use super::thinking::{Circumstances, Thinking};
use super::tools::Tools;
use super::{VERSION, VERSION_HEADER};
use crate::providers::ChatCall;
use crate::providers::canonical::{Params, Unsent};
use crate::providers::wire::Fault;

/// Messages wants a limit. The largest that every Claude takes.
const LIMIT: u64 = 4096;
/// With thinking on, no smaller share may be sampled from.
const LEAST_THINKING_TOP_P: f64 = 0.95;

/// Anthropic's own parameters that are written together with what OpenAI's become.
const WRITTEN: [&str; 3] = ["output_config", "system", "thinking"];

/// Writes the body.
pub(super) fn body(call: &ChatCall<'_>, quirks: &Quirks) -> Result<Vec<u8>, Fault> {
    let params = Params::new(call.params);
    params.refuse_foreign()?;
    if params.get("system").is_some() {
        return Err(Fault::unsupported(
            "system: give it as a message with the role system",
        ));
    }
    let generation = Generation::of(call.model);
    let structure = Structure::of(&params, generation)?;
    if call.beginning.is_some() && matches!(structure, Structure::BySchema(_) | Structure::ByTool(_)) {
        let why = "response_format: an answer that is held to JSON cannot be gone on with";
        return Err(Fault::unsupported(why));
    }
    let tools = match structure.tool() {
        Some(tools) => tools,
        None => Tools::of(&params)?,
    };
    let mut conversation = Conversation::read(call.messages)?;
    let limit = limit(call, &params);
    let thinking = Thinking::of(
        &params,
        Circumstances {
            generation,
            limit,
            forced: tools.forced,
            without_room: call.beginning.is_some() || conversation.resumes_without_thinking,
        },
    )?;
    if structure == Structure::ByWord {
        conversation.instruct(INSTRUCTION);
    }
    if let Some((beginning, _)) = call.beginning.map(Unsent::split)
        && !beginning.is_empty()
    {
        conversation.begin_answer(beginning);
    }

    let refused = |name: &str| quirks.dropped_params.iter().any(|dropped| dropped == name);
    let mut body = Map::new();
    for (name, value) in params.own() {
        if !WRITTEN.contains(&name) && !refused(name) {
            body.insert(name.to_owned(), value.clone());
        }
    }
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|_| !refused(name)) {
            body.insert(name.to_owned(), value);
        }
    };
    put("model", Some(json!(call.model)));
    put("max_tokens", Some(json!(limit)));
    put("stream", Some(json!(call.stream)));
    put("stop_sequences", list(params.stop()?));
    put("tools", list(tools.list));
    put("tool_choice", tools.choice);
    put("metadata", user(&params));
    // OpenAI's other tiers are its own.
    let tier = params.get("service_tier");
    put(
        "service_tier",
        tier.filter(|tier| matches!(tier.as_str(), Some("auto" | "standard_only")))
            .cloned(),
    );
    for (name, value) in sampling(call, &params, generation, &thinking, quirks) {
        put(name, Some(value));
    }
    put("output_config", output_config(&params, structure, &thinking));
    put("thinking", thinking.setting);
    put("system", list(std::mem::take(&mut conversation.system)));
    put("messages", Some(Value::Array(conversation.into_messages())));
    serde_json::to_vec(&body)
        .map_err(|error| Fault::malformed(format!("the request cannot be written as JSON: {error}")))
}

/// The most tokens of the answer. Anthropic refuses a limit above the model's own.
fn limit(call: &ChatCall<'_>, params: &Params<'_>) -> u64 {
    let most = call.model_max_output.map(u64::from);
    match params.limit(call) {
        Some(limit) => most.map_or(limit, |most| limit.min(most)),
        None => most.unwrap_or(LIMIT),
    }
}

/// `temperature`, `top_p` and `top_k`, as far as the model takes them.
fn sampling(
    call: &ChatCall<'_>,
    params: &Params<'_>,
    generation: Generation,
    thinking: &Thinking,
    quirks: &Quirks,
) -> Vec<(&'static str, Value)> {
    // Versions are dates, whose order is that of their letters.
    let later_version = quirks
        .headers
        .iter()
        .any(|(name, version)| name.eq_ignore_ascii_case(VERSION_HEADER) && version.as_str() > VERSION);
    if later_version || !generation.samples() {
        return Vec::new();
    }
    let mut written = Vec::new();
    // OpenAI's temperatures reach to 2, Anthropic's to 1.
    let temperature = params.temperature(call).map(|temperature| temperature.min(1.0));
    if let Some(temperature) = temperature.filter(|_| !thinking.is_on()) {
        written.push(("temperature", json!(temperature)));
    }
    let alone = written.is_empty() || !generation.samples_one_way();
    if let Some(top_p) = params.get("top_p").filter(|top_p| {
        alone && (!thinking.is_on() || top_p.as_f64().is_some_and(|top_p| top_p >= LEAST_THINKING_TOP_P))
    }) {
        written.push(("top_p", top_p.clone()));
    }
    if let Some(top_k) = params.get("top_k").filter(|_| !thinking.is_on()) {
        written.push(("top_k", top_k.clone()));
    }
    written
}

/// Whose request it is: Anthropic's own `metadata.user_id`, or OpenAI's names for the same. OpenAI's labels have no
/// place.
fn user(params: &Params<'_>) -> Option<Value> {
    let own = params
        .get("metadata")
        .and_then(|metadata| metadata.get("user_id"));
    let user = own
        .or_else(|| params.get("safety_identifier"))
        .or_else(|| params.get("user"))?;
    user.is_string().then(|| json!({"user_id": user}))
}

/// The caller's, completed.
fn output_config(params: &Params<'_>, structure: Structure, thinking: &Thinking) -> Option<Value> {
    let mut config = params
        .get("output_config")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if let Some(effort) = thinking.effort {
        config.entry("effort").or_insert(json!(effort));
    }
    if let Structure::BySchema(schema) = structure {
        config.insert(
            "format".to_owned(),
            json!({"type": "json_schema", "schema": schema}),
        );
    }
    (!config.is_empty()).then_some(Value::Object(config))
}

fn list<T: Into<Value>>(items: Vec<T>) -> Option<Value> {
    (!items.is_empty()).then(|| items.into())
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn sent(model: &str, params: Value, change: impl FnOnce(&mut ChatCall<'_>)) -> Result<Value, Fault> {
        sent_to(&Quirks::default(), model, params, change)
    }

    fn sent_to(
        quirks: &Quirks,
        model: &str,
        params: Value,
        change: impl FnOnce(&mut ChatCall<'_>),
    ) -> Result<Value, Fault> {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        let messages = RawValue::from_string(r#"[{"role":"user","content":"hi"}]"#.to_owned()).unwrap();
        let mut call = ChatCall {
            model,
            messages: &messages,
            max_tokens: None,
            model_max_output: None,
            beginning: None,
            temperature: None,
            params: &params,
            stream: true,
            traceparent: None,
        };
        change(&mut call);
        body(&call, quirks).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    fn hi() -> Value {
        json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}])
    }

    #[test]
    fn openais_params_in_anthropics_words() {
        let params = json!({
            "stop": "x", "temperature": 1.5, "top_p": 0.5, "top_k": 3, "user": "u", "service_tier": "flex",
            "metadata": {"label": "l"}, "frequency_penalty": 1, "presence_penalty": 1, "logit_bias": {"1": 2},
            "seed": 7, "store": true, "stream_options": {"include_usage": true}, "verbosity": "low", "n": 1,
            "prompt_cache_key": "k", "container": "c", "x_vendor": {"deep": [1]}, "context_management": null,
        });
        assert_eq!(
            sent("claude-3-5-haiku", params, |_| {}).unwrap(),
            json!({
                "model": "claude-3-5-haiku", "max_tokens": 4096, "stream": true, "messages": hi(),
                "stop_sequences": ["x"], "temperature": 1.0, "top_p": 0.5, "top_k": 3, "metadata": {"user_id": "u"},
                "container": "c", "x_vendor": {"deep": [1]},
            })
        );
    }

    #[test]
    fn a_limit_there_always_is() {
        let limit = |params: Value, ours: Option<u32>, most: Option<u32>| {
            let body = sent("claude-opus-5", params, |call| {
                call.max_tokens = ours;
                call.model_max_output = most;
            });
            body.unwrap()["max_tokens"].clone()
        };
        assert_eq!(limit(json!({}), None, None), 4096);
        assert_eq!(limit(json!({}), None, Some(64_000)), 64_000);
        assert_eq!(limit(json!({}), Some(99_000), Some(64_000)), 64_000);
        assert_eq!(
            limit(
                json!({"max_completion_tokens": 7, "max_tokens": 9}),
                Some(5),
                Some(8)
            ),
            7
        );
    }

    #[test]
    fn sampling_as_far_as_it_is_taken() {
        let sampled = |quirks: &Quirks, model: &str, params: Value| {
            let body = sent_to(quirks, model, params, |call| call.max_tokens = Some(9_000)).unwrap();
            ["temperature", "top_p", "top_k"].map(|name| body.get(name).is_some())
        };
        let none = Quirks::default();
        let all = json!({"temperature": 0.1, "top_p": 0.5, "top_k": 3});
        assert_eq!(
            sampled(&none, "claude-sonnet-4-5", all.clone()),
            [true, false, true]
        );
        assert_eq!(
            sampled(&none, "claude-sonnet-4-5", json!({"top_p": 0.5})),
            [false, true, false]
        );
        assert_eq!(sampled(&none, "claude-opus-4-7", all.clone()), [false; 3]);
        let thinking = json!({"temperature": 0.1, "top_p": 0.97, "top_k": 3, "reasoning_effort": "low"});
        assert_eq!(
            sampled(&none, "claude-sonnet-4-5", thinking),
            [false, true, false]
        );
        let headers = [("Anthropic-Version".to_owned(), "2026-10-21".to_owned())].into();
        let later = Quirks {
            headers,
            ..Quirks::default()
        };
        assert_eq!(sampled(&later, "claude-sonnet-4-5", all.clone()), [false; 3]);
        let refusing = Quirks {
            dropped_params: vec!["top_k".to_owned()],
            ..Quirks::default()
        };
        assert_eq!(sampled(&refusing, "MiniMax-M2", all), [true, true, false]);
    }

    #[test]
    fn structure_and_effort_share_their_place() {
        let schema = json!({"type": "object", "additionalProperties": false});
        let params = json!({"reasoning_effort": "high", "output_config": {"x": 1},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}});
        let body = sent("claude-opus-5", params.clone(), |_| {}).unwrap();
        assert_eq!(
            body["output_config"],
            json!({"x": 1, "effort": "high", "format": {"type": "json_schema", "schema": schema}})
        );
        assert_eq!(body["thinking"]["type"], "adaptive");
        let older = sent("claude-3-7-sonnet", params, |_| {}).unwrap();
        assert_eq!(older["tools"][0]["input_schema"], schema);
        assert_eq!(older["tool_choice"]["name"], older["tools"][0]["name"]);
        assert_eq!(older.get("thinking"), None, "a forced call excludes it");
        let asked = json!({"response_format": {"type": "json_object"}});
        let asked = sent("claude-opus-5", asked, |_| {}).unwrap();
        assert_eq!(asked["system"], json!([{"type": "text", "text": INSTRUCTION}]));
    }

    #[test]
    fn an_answer_that_has_begun() {
        let begun = |beginning: &'static str, params: Value| {
            sent("claude-sonnet-4-5", params, |call| {
                call.beginning = Some(beginning);
            })
        };
        let body = begun(
            "The sun \n",
            json!({"reasoning_effort": "high", "max_tokens": 9000}),
        )
        .unwrap();
        assert_eq!(
            body["messages"][1],
            json!({"role": "assistant", "content": [{"type": "text", "text": "The sun"}]})
        );
        assert_eq!(body.get("thinking"), None);
        assert_eq!(begun(" ", json!({})).unwrap()["messages"], hi());
        let held = json!({"response_format": {"type": "json_object"}});
        let refused = begun("{", held).unwrap_err().quoted();
        assert!(refused.starts_with("response_format: "), "{refused}");
    }

    #[test]
    fn what_has_no_form_is_refused_before_anything_is_sent() {
        for (name, value) in [("n", json!(2)), ("logprobs", json!(true)), ("system", json!("x"))] {
            let refused = sent("claude-opus-5", json!({name: value}), |_| {})
                .unwrap_err()
                .quoted();
            assert!(refused.starts_with(&format!("{name}: ")), "{refused}");
        }
    }
}
