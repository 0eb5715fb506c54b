//! The body of a request: the conversation, the tools, and how to generate.

use serde_json::{Map, Value, json};
use shared::catalog::Quirks;

use super::contents::prompt;
use super::name_of;
use crate::providers::ChatCall;
use crate::providers::canonical::{Choice, Effort, Format, Params, Tool};
use crate::providers::wire::Fault;

/// Parameters that keep their meaning, and the names Gemini has for them.
const SAME: [(&str, &str); 5] = [
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
];

/// Where Gemini's own fields about generating may be given.
const GENERATION: &str = "generationConfig";

/// Writes the body.
pub(super) fn body(call: &ChatCall<'_>, quirks: &Quirks) -> Result<Vec<u8>, Fault> {
    let params = Params::new(call.params);
    params.refuse_foreign()?;
    let prompt = prompt(call, quirks.call_ids)?;
    let mut body = Map::new();
    body.insert("contents".to_owned(), prompt.contents.into());
    if !prompt.system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({"parts": prompt.system}));
    }
    let tools = tools(&params)?;
    if !tools.is_empty() {
        body.insert("tools".to_owned(), tools.into());
        if let Some(config) = tool_config(&params.tool_choice()?) {
            body.insert("toolConfig".to_owned(), config);
        }
    }
    let mut generation = generation(call, &params)?;
    for (name, value) in params.own() {
        match value {
            Value::Object(fields) if name == GENERATION => {
                for (name, value) in fields {
                    generation.entry(name).or_insert_with(|| value.clone());
                }
            }
            _ => {
                body.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    if !generation.is_empty() {
        body.insert(GENERATION.to_owned(), generation.into());
    }
    serde_json::to_vec(&body)
        .map_err(|error| Fault::malformed(format!("the request cannot be written as JSON: {error}")))
}

fn tools(params: &Params<'_>) -> Result<Vec<Value>, Fault> {
    let mut functions = Vec::new();
    let mut others = Vec::new();
    for tool in params.tools()? {
        match tool {
            Tool::Function(function) => {
                let mut declaration = Map::new();
                declaration.insert("name".to_owned(), function.name.into());
                if let Some(description) = function.description {
                    declaration.insert("description".to_owned(), description.into());
                }
                if let Some(schema) = function.parameters {
                    declaration.insert("parametersJsonSchema".to_owned(), schema);
                }
                functions.push(Value::Object(declaration));
            }
            Tool::Other(mut fields) => {
                if let (Some(Value::String(kind)), true) = (fields.remove("type"), fields.is_empty()) {
                    fields.insert(kind, json!({}));
                }
                others.push(Value::Object(fields));
            }
        }
    }
    if !functions.is_empty() {
        if params.get("parallel_tool_calls") == Some(&Value::Bool(false)) {
            return Err(Fault::unsupported(
                "parallel_tool_calls: this provider cannot be kept from calling several tools at once",
            ));
        }
        others.insert(0, json!({"functionDeclarations": functions}));
    }
    Ok(others)
}

fn tool_config(choice: &Choice) -> Option<Value> {
    let config = match choice {
        Choice::Auto => return None,
        Choice::None => json!({"mode": "NONE"}),
        Choice::Required => json!({"mode": "ANY"}),
        Choice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    Some(json!({"functionCallingConfig": config}))
}

/// `generationConfig`.
fn generation(call: &ChatCall<'_>, params: &Params<'_>) -> Result<Map<String, Value>, Fault> {
    if params
        .get("logit_bias")
        .is_some_and(|bias| bias.as_object().is_none_or(|bias| !bias.is_empty()))
    {
        return Err(Fault::unsupported("logit_bias: not taken by this provider"));
    }
    let mut config = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    set("temperature", params.temperature(call).map(Value::from));
    set("maxOutputTokens", params.limit(call).map(Value::from));
    for (theirs, ours) in SAME {
        set(ours, params.get(theirs).cloned());
    }
    let stop = params.stop()?;
    set("stopSequences", (!stop.is_empty()).then(|| stop.into()));
    let (media_type, schema) = match params.format()? {
        Format::Text => (None, None),
        Format::Object => (Some("application/json".into()), None),
        Format::Schema(schema) => (Some("application/json".into()), Some(schema)),
    };
    set("responseMimeType", media_type);
    set("responseJsonSchema", schema);
    let thinking = params.effort()?.and_then(|effort| thinking(call.model, effort));
    set("thinkingConfig", thinking);
    Ok(config)
}

/// `thinkingConfig`: the levels and budgets that Google's compatible endpoint makes of the same words ("OpenAI
/// compatibility" in its documentation). Models before 2.5 do not think; the wish is left out.
fn thinking(model: &str, effort: Effort) -> Option<Value> {
    let name = name_of(model);
    let mut config = if name.starts_with("gemini-2.5") {
        let budget = match effort {
            Effort::None => 0,
            Effort::Minimal | Effort::Low => 1_024,
            Effort::Medium => 8_192,
            Effort::High | Effort::XHigh | Effort::Max => 24_576,
        };
        json!({"thinkingBudget": budget})
    } else if name.starts_with("gemini-1") || name.starts_with("gemini-2") {
        return None;
    } else {
        let level = match effort {
            Effort::None | Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::XHigh | Effort::Max => "high",
        };
        json!({"thinkingLevel": level})
    };
    if effort != Effort::None {
        config["includeThoughts"] = true.into();
    }
    Some(config)
}
