//! The body of a chat request. What the caller passes along goes out as it is; our own fields win where both name the
//! same one, because limits and accounting depend on them.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::providers::ChatCall;

/// Room for everything but the messages; growing beyond it costs a copy, nothing else.
const ROOM_BESIDE_MESSAGES: usize = 512;

/// Writes the body.
pub(super) fn body(call: &ChatCall<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(call.messages.get().len() + ROOM_BESIDE_MESSAGES);
    serde_json::to_writer(&mut bytes, &Body(call))?;
    Ok(bytes)
}

/// How many answers the call asks for.
pub(super) fn answers(call: &ChatCall<'_>) -> usize {
    call.params
        .get("n")
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(1)
        .max(1)
}

struct Body<'a>(&'a ChatCall<'a>);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let call = self.0;
        // OpenAI refuses a request with both names of the limit; the newer one is the caller's explicit choice.
        let max_tokens = call
            .max_tokens
            .filter(|_| !call.params.contains_key("max_completion_tokens"));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", call.model)?;
        map.serialize_entry("stream", &call.stream)?;
        if call.stream {
            map.serialize_entry("stream_options", &stream_options(call.params))?;
        }
        if let Some(max_tokens) = max_tokens {
            map.serialize_entry("max_tokens", &max_tokens)?;
        }
        if let Some(temperature) = call.temperature {
            map.serialize_entry("temperature", &temperature)?;
        }
        for (name, value) in call.params {
            let ours = match name.as_str() {
                // Without streaming, OpenAI refuses `stream_options`.
                "model" | "messages" | "stream" | "stream_options" => true,
                "max_tokens" => max_tokens.is_some(),
                "temperature" => call.temperature.is_some(),
                _ => false,
            };
            if !ours {
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
        let Value::Object(params) = params else {
            panic!("an object")
        };
        let messages = RawValue::from_string(r#"[{"role":"user", "content":"hi"}]"#.to_owned()).unwrap();
        let mut call = ChatCall {
            model: "m",
            messages: &messages,
            max_tokens: None,
            temperature: None,
            params: &params,
            stream: true,
            traceparent: None,
        };
        change(&mut call);
        let bytes = body(&call).unwrap();
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
}
