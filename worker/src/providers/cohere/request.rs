//! The body of a request: our own fields, what OpenAI's parameters become, and the rest as it came, for Cohere's own
//! parameters (`documents`, `safety_mode`, `thinking`, ...).
//!
//! Left out for want of a form: `logit_bias`, `parallel_tool_calls`, and what `canonical` says may always be left out;
//! so are values outside of the ranges that Cohere takes, cut to the nearest it does.

use serde_json::{Map, Value, json};

use super::conversation;
use crate::providers::ChatCall;
use crate::providers::canonical::{Choice, Effort, Format, Function, Params, Tool};
use crate::providers::wire::Fault;

/// What `p` may be: all and nothing are not taken.
const TOP_P: (f64, f64) = (0.01, 0.99);
/// What penalties may be; OpenAI's reach from -2 to 2.
const PENALTY: (f64, f64) = (0.0, 1.0);

/// Writes the body.
pub(super) fn body(call: &ChatCall<'_>) -> Result<Vec<u8>, Fault> {
    let params = Params::new(call.params);
    params.refuse_foreign()?;
    let mut body: Map<String, Value> = params
        .own()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    let number = |name: &str| params.get(name).and_then(Value::as_f64);
    let within =
        |name: &str, (least, most): (f64, f64)| number(name).map(|value| json!(value.clamp(least, most)));
    put("model", Some(json!(call.model)));
    put("stream", Some(json!(call.stream)));
    let limit = params.limit(call);
    put("max_tokens", limit.map(Value::from));
    put("temperature", params.temperature(call).map(Value::from));
    put("p", within("top_p", TOP_P));
    put("k", params.get("top_k").cloned());
    put("seed", params.get("seed").cloned());
    put("frequency_penalty", within("frequency_penalty", PENALTY));
    put("presence_penalty", within("presence_penalty", PENALTY));
    let stops = params.stop()?;
    put("stop_sequences", (!stops.is_empty()).then(|| json!(stops)));
    let tools = Tools::of(&params)?;
    put("response_format", response_format(params.format()?));
    put("strict_tools", tools.strict.then_some(Value::Bool(true)));
    put("tool_choice", tools.choice.map(Value::from));
    put(
        "tools",
        (!tools.list.is_empty()).then_some(Value::Array(tools.list)),
    );
    if params.get("thinking").is_none() {
        put("thinking", params.effort()?.map(|effort| thinking(effort, limit)));
    }
    put(
        "messages",
        Some(Value::Array(conversation::messages(call.messages)?)),
    );
    serde_json::to_vec(&body)
        .map_err(|error| Fault::malformed(format!("the request cannot be written as JSON: {error}")))
}

struct Tools {
    list: Vec<Value>,
    choice: Option<&'static str>,
    /// Cohere holds either all of them to their schemas or none.
    strict: bool,
}

impl Tools {
    fn of(params: &Params<'_>) -> Result<Self, Fault> {
        let mut functions = Vec::new();
        for (at, tool) in params.tools()?.into_iter().enumerate() {
            match tool {
                Tool::Function(function) => functions.push(function),
                Tool::Other(_) => {
                    let why = format!("tools[{at}].type: only functions are taken by this provider");
                    return Err(Fault::unsupported(why));
                }
            }
        }
        let choice = params.tool_choice()?;
        if let Choice::Named(name) = &choice {
            // It must call one of those it is given: the only one it is given is the one it must call.
            functions.retain(|function| function.name == *name);
            if functions.is_empty() {
                return Err(Fault::unsupported(format!(
                    "tool_choice: no function is called {name}"
                )));
            }
        }
        let choice = match choice {
            _ if functions.is_empty() => None,
            Choice::Auto => None,
            Choice::None => Some("NONE"),
            Choice::Required | Choice::Named(_) => Some("REQUIRED"),
        };
        let strict = !functions.is_empty() && functions.iter().all(|function| function.strict == Some(true));
        Ok(Self {
            list: functions.into_iter().map(written).collect(),
            choice,
            strict,
        })
    }
}

fn written(function: Function) -> Value {
    let Function {
        name,
        description,
        parameters,
        ..
    } = function;
    let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let mut written = json!({"name": name, "parameters": parameters});
    if let Some(description) = description {
        written["description"] = Value::String(description);
    }
    json!({"type": "function", "function": written})
}

fn response_format(format: Format) -> Option<Value> {
    match format {
        Format::Text => None,
        Format::Object => Some(json!({"type": "json_object"})),
        Format::Schema(schema) => Some(json!({"type": "json_object", "json_schema": schema})),
    }
}

/// Models that think do so without being told; the effort says how much of the limit it may cost, where there is one.
fn thinking(effort: Effort, limit: Option<u64>) -> Value {
    if effort == Effort::None {
        return json!({"type": "disabled"});
    }
    let budget = limit
        .map(|limit| effort.budget(limit))
        .filter(|budget| *budget > 0);
    let mut thinking = json!({"type": "enabled"});
    if let Some(budget) = budget {
        thinking["token_budget"] = json!(budget);
    }
    thinking
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn sent(params: Value, change: impl FnOnce(&mut ChatCall<'_>)) -> Result<Value, Fault> {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        let messages = RawValue::from_string(r#"[{"role":"user","content":"hi"}]"#.to_owned()).unwrap();
        let mut call = ChatCall {
            model: "command-a-03-2025",
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
        body(&call).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn openais_params_in_coheres_words() {
        let params = json!({
            "stop": ["x", "y"], "top_p": 1, "top_k": 3, "seed": 7, "frequency_penalty": -1.5,
            "presence_penalty": 0.5, "max_completion_tokens": 9, "logit_bias": {"1": 2}, "user": "u", "n": 1,
            "parallel_tool_calls": false, "stream_options": {"include_usage": true}, "metadata": {"label": "l"},
            "reasoning_effort": "medium", "safety_mode": "OFF", "response_format": {"type": "json_object"},
        });
        let body = sent(params, |call| call.temperature = Some(0.5)).unwrap();
        assert_eq!(
            body,
            json!({
                "model": "command-a-03-2025", "stream": true, "messages": [{"role": "user", "content": "hi"}],
                "stop_sequences": ["x", "y"], "p": 0.99, "k": 3, "seed": 7, "frequency_penalty": 0.0,
                "presence_penalty": 0.5, "max_tokens": 9, "temperature": 0.5, "safety_mode": "OFF",
                "thinking": {"type": "enabled", "token_budget": 4}, "response_format": {"type": "json_object"},
            })
        );
    }

    #[test]
    fn tools_and_choices() {
        let function = |name: &str, strict: bool| json!({"type": "function", "function": {"name": name, "description": "d", "strict": strict}});
        let tools = |choice: Value, strict: bool| {
            let params =
                json!({"tools": [function("f", true), function("g", strict)], "tool_choice": choice});
            let body = sent(params, |_| {}).unwrap();
            let names: Vec<String> = body["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tool| tool["function"]["name"].as_str().unwrap().to_owned())
                .collect();
            (
                names.concat(),
                body["tool_choice"].clone(),
                body["strict_tools"].clone(),
            )
        };
        let both = || "fg".to_owned();
        assert_eq!(tools(json!("auto"), false), (both(), Value::Null, Value::Null));
        assert_eq!(tools(json!("none"), true), (both(), json!("NONE"), json!(true)));
        assert_eq!(
            tools(json!("required"), false),
            (both(), json!("REQUIRED"), Value::Null)
        );
        let named = json!({"type": "function", "function": {"name": "g"}});
        assert_eq!(
            tools(named, true),
            ("g".to_owned(), json!("REQUIRED"), json!(true))
        );
        let body = sent(
            json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
            |_| {},
        )
        .unwrap();
        assert_eq!(
            body["tools"],
            json!([{"type": "function", "function": {"name": "f",
                "parameters": {"type": "object", "properties": {}}}}])
        );
        assert_eq!(body.get("tool_choice"), None);
    }

    #[test]
    fn schemas_and_thinking() {
        let schema = json!({"type": "object"});
        let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
        let body = sent(
            json!({"response_format": format, "reasoning_effort": "none"}),
            |_| {},
        )
        .unwrap();
        assert_eq!(
            body["response_format"],
            json!({"type": "json_object", "json_schema": schema})
        );
        assert_eq!(body["thinking"], json!({"type": "disabled"}));
        let own = json!({"type": "enabled", "token_budget": 5});
        let body = sent(json!({"thinking": own, "reasoning_effort": "none"}), |_| {}).unwrap();
        assert_eq!(body["thinking"], own);
        let body = sent(json!({"reasoning_effort": "high"}), |_| {}).unwrap();
        assert_eq!(body["thinking"], json!({"type": "enabled"}));
    }

    #[test]
    fn what_has_no_form_is_refused_before_anything_is_sent() {
        for (params, named) in [
            (json!({"n": 2}), "n: "),
            (json!({"logprobs": true}), "logprobs: "),
            (json!({"tools": [{"type": "web_search"}]}), "tools[0].type: "),
            (
                json!({"tools": [{"type": "function", "function": {"name": "f"}}],
                    "tool_choice": {"type": "function", "function": {"name": "g"}}}),
                "tool_choice: ",
            ),
        ] {
            let refused = sent(params, |_| {}).unwrap_err().quoted();
            assert!(refused.starts_with(named), "{refused}");
        }
    }
}
