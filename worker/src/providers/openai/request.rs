//! The body of a chat request. What the caller passes along goes out as it is; our own fields win where both name the
//! same one, because limits and accounting depend on them.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use shared::catalog::{MaxTokensField, Quirks};

use crate::providers::ChatCall;
use crate::providers::wire::Fault;

/// Room for everything but the messages; growing beyond it costs a copy, nothing else.
const ROOM_BESIDE_MESSAGES: usize = 512;

/// The two names of the limit of the output, the older first.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Writes the body.
pub(in crate::providers) fn body(call: &ChatCall<'_>, quirks: &Quirks) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(call.messages.get().len() + ROOM_BESIDE_MESSAGES);
    match serde_json::to_writer(&mut bytes, &Body { call, quirks }) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Fault::malformed(format!(
            "the request cannot be written as JSON: {error}"
        ))),
    }
}

struct Body<'a> {
    call: &'a ChatCall<'a>,
    quirks: &'a Quirks,
}

impl Body<'_> {
    /// The name under which a limit goes out. OpenAI refuses a request with both; the newer one is the caller's
    /// explicit choice.
    fn limit_name(&self) -> &'static str {
        let [older, newer] = LIMITS;
        let asked = self.quirks.max_tokens_field == MaxTokensField::MaxCompletionTokens
            || self.call.params.contains_key(newer);
        if (asked && !self.refuses(newer)) || self.refuses(older) {
            newer
        } else {
            older
        }
    }

    fn refuses(&self, param: &str) -> bool {
        self.quirks.dropped_params.iter().any(|refused| refused == param)
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let call = self.call;
        let [older, newer] = LIMITS;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", call.model)?;
        map.serialize_entry("stream", &call.stream)?;
        if call.stream && self.quirks.stream_options {
            map.serialize_entry("stream_options", &stream_options(call.params))?;
        }
        let limit = self.limit_name();
        if self.refuses(limit) {
        } else if let Some(chosen) = call.params.get(newer) {
            map.serialize_entry(limit, chosen)?;
        } else if let Some(max_tokens) = call.max_tokens {
            map.serialize_entry(limit, &max_tokens)?;
        } else if let Some(chosen) = call.params.get(older) {
            map.serialize_entry(limit, chosen)?;
        }
        if let Some(temperature) = call.temperature.filter(|_| !self.refuses("temperature")) {
            map.serialize_entry("temperature", &temperature)?;
        }
        for (name, value) in call.params {
            let ours = match name.as_str() {
                // Without streaming, OpenAI refuses `stream_options`.
                "model" | "messages" | "stream" | "stream_options" => true,
                "temperature" => call.temperature.is_some(),
                name => LIMITS.contains(&name),
            };
            if !ours && !self.refuses(name) {
                map.serialize_entry(name, value)?;
            }
        }
        map.serialize_entry("messages", call.messages)?;
        map.end()
    }
}

/// The caller's options, with the usage asked for in any case: every call is accounted.
fn stream_options(params: &Map<String, Value>) -> Map<String, Value> {
    let mut options = params
        .get("stream_options")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    options
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    fn sent(params: Value, change: impl FnOnce(&mut ChatCall<'_>)) -> Value {
        sent_to(&Quirks::default(), params, change)
    }

    fn sent_to(quirks: &Quirks, params: Value, change: impl FnOnce(&mut ChatCall<'_>)) -> Value {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        let messages = RawValue::from_string(r#"[{"role":"user", "content":"hi"}]"#.to_owned()).unwrap();
        let mut call = ChatCall {
            model: "m",
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
        let bytes = body(&call, quirks).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.contains(r#""messages":[{"role":"user", "content":"hi"}]"#),
            "byte for byte: {text}"
        );
        assert_eq!(text.matches("\"stream\"").count(), 1, "no key twice: {text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn unknown_params_pass_and_own_fields_win() {
        let params = json!({
            "model": "other", "messages": [], "stream": false, "temperature": 2, "max_tokens": 9,
            "top_p": 0.5, "x_vendor": {"deep": [1]},
            "stream_options": {"include_usage": false, "include_obfuscation": false},
        });
        let body = sent(params, |call| {
            call.max_tokens = Some(5);
            call.temperature = Some(0.1);
        });
        let expected = json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true,
            "stream_options": {"include_usage": true, "include_obfuscation": false},
            "temperature": 0.1, "max_tokens": 5, "top_p": 0.5, "x_vendor": {"deep": [1]},
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn params_speak_where_the_call_is_silent() {
        let body = sent(json!({"temperature": 2, "max_tokens": 9}), |_| {});
        assert_eq!(
            (&body["temperature"], &body["max_tokens"]),
            (&json!(2), &json!(9))
        );
    }

    #[test]
    fn a_call_that_does_not_stream_says_nothing_of_streams() {
        let body = sent(
            json!({"stream": true, "stream_options": {"include_usage": true}}),
            |call| {
                call.stream = false;
            },
        );
        assert_eq!(
            body,
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": false})
        );
    }

    #[test]
    fn the_newer_name_of_the_limit_is_left_alone() {
        let body = sent(json!({"max_completion_tokens": 7}), |call| {
            call.max_tokens = Some(5);
        });
        assert_eq!(body["max_completion_tokens"], 7);
        assert_eq!(body.get("max_tokens"), None);
    }

    #[test]
    fn one_limit_under_the_name_the_server_takes() {
        let refusing = |params: &[&str]| Quirks {
            dropped_params: params.iter().map(|name| (*name).to_owned()).collect(),
            ..Quirks::default()
        };
        let renaming = Quirks {
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            ..Quirks::default()
        };
        let none = Quirks::default();
        let limits = |quirks: &Quirks, params: Value, ours: Option<u32>| {
            let body = sent_to(quirks, params, |call| call.max_tokens = ours);
            (
                body.get("max_tokens").cloned(),
                body.get("max_completion_tokens").cloned(),
            )
        };
        let both = json!({"max_tokens": 9, "max_completion_tokens": 7});
        for (quirks, older, newer) in [
            (&none, None, Some(json!(7))),
            (&renaming, None, Some(json!(7))),
            (&refusing(&["max_completion_tokens"]), Some(json!(7)), None),
            (&refusing(&["max_tokens"]), None, Some(json!(7))),
            (&refusing(&["max_tokens", "max_completion_tokens"]), None, None),
        ] {
            assert_eq!(
                limits(quirks, both.clone(), Some(5)),
                (older, newer),
                "{quirks:?}"
            );
        }
        assert_eq!(
            limits(&renaming, json!({"max_tokens": 9}), Some(5)),
            (None, Some(json!(5)))
        );
        assert_eq!(
            limits(&renaming, json!({"max_tokens": 9}), None),
            (None, Some(json!(9)))
        );
        assert_eq!(limits(&renaming, json!({}), None), (None, None));
    }

    #[test]
    fn what_a_server_refuses_is_left_out() {
        let quirks = Quirks {
            dropped_params: ["temperature", "logit_bias"].map(str::to_owned).to_vec(),
            stream_options: false,
            ..Quirks::default()
        };
        let params = json!({"logit_bias": {"1": 2}, "top_p": 0.5, "temperature": 2,
            "stream_options": {"include_usage": true}});
        let expected = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true,
            "top_p": 0.5});
        for temperature in [None, Some(0.1)] {
            let body = sent_to(&quirks, params.clone(), |call| call.temperature = temperature);
            assert_eq!(body, expected);
        }
    }
}
