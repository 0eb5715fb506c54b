//! `response_format`: how an answer is made to be JSON.
//!
//! - A schema goes out as `output_config.format` from Claude 4.5 on. Anthropic wants objects to be closed, so one that
//!   says nothing of `additionalProperties` is.
//! - Before, and for other vendors' models, the answer is the arguments of a tool that must be called, the way
//!   Anthropic documented for them ("JSON mode"). They come out as text.
//! - Any JSON object has no schema, and from Claude 4.6 on a forced call and thinking exclude each other: there the
//!   system prompt asks for it. OpenAI wants the prompt to ask for it too.

use serde_json::{Value, json};

use super::generation::Generation;
use super::tools::Tools;
use crate::providers::canonical::{Format, Params};
use crate::providers::wire::Fault;

/// The tool whose arguments are the answer.
pub(super) const ANSWER_TOOL: &str = "json_answer";

/// Said to models that are to answer with some JSON object.
pub(in crate::providers) const INSTRUCTION: &str =
    "Answer with one JSON object and nothing else: no words before or after it, and no code fence around it.";

/// How an answer gets its form.
#[derive(Debug, PartialEq)]
pub(super) enum Structure {
    /// It has none.
    Free,
    /// By this schema in `output_config`.
    BySchema(Value),
    /// By a tool with arguments of this schema.
    ByTool(Value),
    /// By asking.
    ByWord,
}

impl Structure {
    /// What this model is told.
    pub(super) fn of(params: &Params<'_>, generation: Generation) -> Result<Self, Fault> {
        let has_tools = params
            .get("tools")
            .and_then(Value::as_array)
            .is_some_and(|tools| !tools.is_empty());
        match params.format()? {
            Format::Text => Ok(Self::Free),
            Format::Object if generation.adapts() || has_tools => Ok(Self::ByWord),
            Format::Object => Ok(Self::ByTool(json!({"type": "object"}))),
            Format::Schema(schema) if generation.keeps_to_schemas() => Ok(Self::BySchema(closed(schema))),
            Format::Schema(_) if has_tools => Err(Fault::unsupported(
                "response_format: this model takes either a schema or tools, not both",
            )),
            Format::Schema(schema) => Ok(Self::ByTool(schema)),
        }
    }

    /// The tool that carries the answer, if that is how it is done.
    pub(super) fn tool(&self) -> Option<Tools> {
        match self {
            Self::ByTool(schema) => {
                let description = "Gives the answer. Its arguments are the whole answer.";
                Some(Tools::only(ANSWER_TOOL, description, schema))
            }
            _ => None,
        }
    }
}

/// The schema with every object in it closed.
pub(in crate::providers) fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            let is_object =
                fields.get("type").is_some_and(|kind| kind == "object") || fields.contains_key("properties");
            for (name, value) in fields.iter_mut() {
                match (name.as_str(), value) {
                    // Values, not schemas.
                    ("enum" | "const" | "default" | "examples", _) => {}
                    // Schemas by names that anybody chose.
                    ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(named)) => {
                        for value in named.values_mut() {
                            *value = closed(value.take());
                        }
                    }
                    (_, value) => *value = closed(value.take()),
                }
            }
            if is_object {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = closed(item.take());
            }
        }
        _ => {}
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(model: &str, params: Value) -> Result<Structure, Fault> {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        Structure::of(&Params::new(&params), Generation::of(model))
    }

    #[test]
    fn each_generation_in_its_own_way() {
        let schema = json!({"type": "object", "additionalProperties": false});
        let by_schema =
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}});
        let some = json!({"response_format": {"type": "json_object"}});
        let native = Structure::BySchema(schema.clone());
        assert_eq!(structure("claude-haiku-4-5", by_schema.clone()).unwrap(), native);
        for older in ["claude-3-7-sonnet", "MiniMax-M2"] {
            assert_eq!(
                structure(older, by_schema.clone()).unwrap(),
                Structure::ByTool(schema.clone())
            );
        }
        assert_eq!(
            structure("claude-haiku-4-5", some.clone()).unwrap(),
            Structure::ByTool(json!({"type": "object"}))
        );
        assert_eq!(
            structure("claude-opus-4-6", some.clone()).unwrap(),
            Structure::ByWord
        );
        assert_eq!(structure("claude-opus-4-6", json!({})).unwrap(), Structure::Free);

        let with_tools = |mut params: Value| {
            params["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
            params
        };
        assert_eq!(
            structure("claude-3-7-sonnet", with_tools(some)).unwrap(),
            Structure::ByWord
        );
        let refused = structure("claude-3-7-sonnet", with_tools(by_schema.clone())).unwrap_err();
        assert!(refused.quoted().starts_with("response_format: "), "{refused:?}");
        assert_eq!(
            structure("claude-opus-4-5", with_tools(by_schema)).unwrap(),
            native
        );
    }

    #[test]
    fn objects_are_closed_unless_they_say_otherwise() {
        let open = json!({
            "type": "object",
            "properties": {
                "a": {"type": "array", "items": {"type": "object", "properties": {}}},
                "b": {"type": "object", "additionalProperties": true},
                "c": {"enum": [{"type": "object"}]}
            },
            "$defs": {"properties": {"properties": {}}}
        });
        assert_eq!(
            closed(open),
            json!({
                "type": "object", "additionalProperties": false,
                "properties": {
                    "a": {"type": "array",
                        "items": {"type": "object", "properties": {}, "additionalProperties": false}},
                    "b": {"type": "object", "additionalProperties": true},
                    "c": {"enum": [{"type": "object"}]}
                },
                "$defs": {"properties": {"properties": {}, "additionalProperties": false}}
            })
        );
    }
}
