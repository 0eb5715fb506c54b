//! The parameters of a call in OpenAI's names. A null is the same as nothing.

use serde_json::{Map, Value};

use crate::providers::ChatCall;
use crate::providers::wire::Fault;

/// What would make another answer, and has a form in OpenAI's protocol only.
const FOREIGN: [&str; 4] = ["audio", "functions", "function_call", "web_search_options"];

/// The parameters of one call.
#[derive(Debug, Clone, Copy)]
pub(in crate::providers) struct Params<'a>(&'a Map<String, Value>);

/// How much to think, from OpenAI's `reasoning_effort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::providers) enum Effort {
    /// Not at all.
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

/// `response_format`.
#[derive(Debug, PartialEq)]
pub(in crate::providers) enum Format {
    /// Free text.
    Text,
    /// Some JSON object.
    Object,
    /// JSON that keeps to this schema.
    Schema(Value),
}

impl<'a> Params<'a> {
    /// The parameters as they came.
    pub(in crate::providers) fn new(params: &'a Map<String, Value>) -> Self {
        Self(params)
    }

    /// A parameter, unless it is null.
    pub(in crate::providers) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// All that are not null.
    pub(in crate::providers) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let all = self.0.iter().filter(|(_, value)| !value.is_null());
        all.map(|(name, value)| (name.as_str(), value))
    }

    /// An error that names the parameter, if one would change the meaning of the answer and only OpenAI has a form
    /// for it: more answers than one, log probabilities, sound, functions in their form before tools, OpenAI's own
    /// search.
    pub(in crate::providers) fn refuse_foreign(&self) -> Result<(), Fault> {
        let refuse = |name: &str| Err(Fault::unsupported(format!("{name}: not taken by this provider")));
        if self.get("n").is_some_and(|n| n.as_u64() != Some(1)) {
            return Err(Fault::unsupported("n: this provider gives one answer only"));
        }
        if self
            .get("logprobs")
            .is_some_and(|wanted| *wanted != Value::Bool(false))
        {
            return refuse("logprobs");
        }
        if self
            .get("top_logprobs")
            .is_some_and(|most| most.as_u64() != Some(0))
        {
            return refuse("top_logprobs");
        }
        if self.get("modalities").is_some_and(|kinds| {
            kinds
                .as_array()
                .is_none_or(|kinds| kinds.iter().any(|kind| kind != "text"))
        }) {
            return refuse("modalities");
        }
        match FOREIGN.iter().find(|name| self.get(name).is_some()) {
            Some(name) => refuse(name),
            None => Ok(()),
        }
    }

    /// The most tokens to generate: the newer name is the caller's explicit choice, then ours, then the older name.
    pub(in crate::providers) fn limit(&self, call: &ChatCall<'_>) -> Option<u64> {
        let named = |name| self.get(name).and_then(Value::as_u64);
        named("max_completion_tokens")
            .or(call.max_tokens.map(u64::from))
            .or_else(|| named("max_tokens"))
    }

    /// The temperature: ours, or the parameter.
    pub(in crate::providers) fn temperature(&self, call: &ChatCall<'_>) -> Option<f64> {
        call.temperature
            .or_else(|| self.get("temperature").and_then(Value::as_f64))
    }

    /// `stop`: one string or several.
    pub(in crate::providers) fn stop(&self) -> Result<Vec<String>, Fault> {
        let wrong = || Fault::unsupported("stop: must be a string or a list of strings");
        match self.get("stop") {
            None => Ok(Vec::new()),
            Some(Value::String(stop)) => Ok(vec![stop.clone()]),
            Some(Value::Array(stops)) => stops
                .iter()
                .map(|stop| stop.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// `reasoning_effort`.
    pub(in crate::providers) fn effort(&self) -> Result<Option<Effort>, Fault> {
        let Some(effort) = self.get("reasoning_effort") else {
            return Ok(None);
        };
        match effort.as_str() {
            Some("none") => Ok(Some(Effort::None)),
            Some("minimal") => Ok(Some(Effort::Minimal)),
            Some("low") => Ok(Some(Effort::Low)),
            Some("medium") => Ok(Some(Effort::Medium)),
            Some("high") => Ok(Some(Effort::High)),
            Some("xhigh") => Ok(Some(Effort::XHigh)),
            Some("max") => Ok(Some(Effort::Max)),
            _ => Err(Fault::unsupported(
                "reasoning_effort: must be none, minimal, low, medium, high, xhigh or max",
            )),
        }
    }

    /// `response_format`.
    pub(in crate::providers) fn format(&self) -> Result<Format, Fault> {
        let Some(format) = self.get("response_format") else {
            return Ok(Format::Text);
        };
        match format["type"].as_str() {
            Some("text") => Ok(Format::Text),
            Some("json_object") => Ok(Format::Object),
            Some("json_schema") => match &format["json_schema"]["schema"] {
                schema @ Value::Object(_) => Ok(Format::Schema(schema.clone())),
                _ => Err(Fault::unsupported(
                    "response_format.json_schema.schema: must be an object",
                )),
            },
            _ => Err(Fault::unsupported(
                "response_format.type: must be text, json_object or json_schema",
            )),
        }
    }
}

impl Effort {
    /// The tokens for thinking out of `limit` tokens of output: OpenRouter's shares, 10 % for `minimal`, 20 % for
    /// `low`, 50 % for `medium`, 80 % for `high`, 95 % above. Source: "Reasoning Tokens" in its documentation.
    pub(in crate::providers) fn budget(self, limit: u64) -> u64 {
        let percent = match self {
            Self::None => 0,
            Self::Minimal => 10,
            Self::Low => 20,
            Self::Medium => 50,
            Self::High => 80,
            Self::XHigh | Self::Max => 95,
        };
        limit.saturating_mul(percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_would_be_another_answer_is_refused_by_name() {
        for (name, value) in [
            ("n", json!(2)),
            ("n", json!("two")),
            ("logprobs", json!(true)),
            ("top_logprobs", json!(3)),
            ("modalities", json!(["text", "audio"])),
            ("audio", json!({"voice": "x"})),
            ("functions", json!([])),
            ("function_call", json!("auto")),
            ("web_search_options", json!({})),
        ] {
            let params = map(&json!({name: value}));
            let said = Params::new(&params).refuse_foreign().unwrap_err().quoted();
            assert!(said.starts_with(&format!("{name}: ")), "{said}");
        }
        let harmless = map(
            &json!({"n": 1, "logprobs": false, "top_logprobs": 0, "modalities": ["text"],
            "audio": null, "x_vendor": 1}),
        );
        Params::new(&harmless).refuse_foreign().unwrap();
    }

    #[test]
    fn limits_and_stops() {
        let messages = RawValue::from_string("[]".to_owned()).unwrap();
        let limit = |params: Value, ours: Option<u32>| {
            let params = map(&params);
            let call = ChatCall {
                model: "m",
                messages: &messages,
                max_tokens: ours,
                model_max_output: None,
                beginning: None,
                temperature: None,
                params: &params,
                stream: true,
                traceparent: None,
            };
            Params::new(&params).limit(&call)
        };
        assert_eq!(
            limit(json!({"max_completion_tokens": 7, "max_tokens": 9}), Some(5)),
            Some(7)
        );
        assert_eq!(limit(json!({"max_tokens": 9}), Some(5)), Some(5));
        assert_eq!(limit(json!({"max_tokens": 9}), None), Some(9));
        assert_eq!(limit(json!({}), None), None);

        let stop = |value: Value| Params::new(&map(&json!({"stop": value}))).stop();
        assert_eq!(stop(json!("a")).unwrap(), ["a"]);
        assert_eq!(stop(json!(["a", "b"])).unwrap(), ["a", "b"]);
        assert!(stop(Value::Null).unwrap().is_empty());
        assert!(stop(json!([7])).unwrap_err().quoted().starts_with("stop: "));
    }

    #[test]
    fn formats_and_efforts() {
        let format = |value: Value| Params::new(&map(&json!({"response_format": value}))).format();
        assert_eq!(format(json!({"type": "text"})).unwrap(), Format::Text);
        assert_eq!(format(json!({"type": "json_object"})).unwrap(), Format::Object);
        let schema = json!({"type": "object"});
        assert_eq!(
            format(json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})).unwrap(),
            Format::Schema(schema)
        );
        for wrong in [
            json!({"type": "json_schema"}),
            json!({"type": "grammar"}),
            json!("json"),
        ] {
            assert!(
                format(wrong)
                    .unwrap_err()
                    .quoted()
                    .starts_with("response_format.")
            );
        }
        let effort = |value: Value| Params::new(&map(&json!({"reasoning_effort": value}))).effort();
        assert_eq!(effort(json!("high")).unwrap(), Some(Effort::High));
        assert_eq!(effort(Value::Null).unwrap(), None);
        assert!(
            effort(json!("huge"))
                .unwrap_err()
                .quoted()
                .starts_with("reasoning_effort: ")
        );
        assert_eq!((Effort::Medium.budget(1000), Effort::None.budget(1000)), (500, 0));
    }
}
