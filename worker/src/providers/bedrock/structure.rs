//! `response_format`: how an answer is made to be JSON.
//!
//! A schema goes out as `outputConfig.textFormat` where the model takes that; elsewhere the answer is the arguments of
//! a tool that must be called, and comes out as text ("Tool use" in the Nova user guide; "JSON mode" in Anthropic's
//! documentation). Any JSON object has no form of its own: it is such a tool too, or, where the model cannot be made
//! to call one or has tools to call, asked for in the system prompt.

use serde_json::{Value, json};

use super::family::Family;
use crate::providers::anthropic::closed;
use crate::providers::canonical::{Format, Params};
use crate::providers::wire::Fault;

/// The tool whose arguments are the answer.
pub(super) const ANSWER_TOOL: &str = "json_answer";

/// How an answer gets its form.
#[derive(Debug, PartialEq)]
pub(super) enum Structure {
    /// It has none.
    Free,
    /// By this `outputConfig`.
    BySchema(Value),
    /// By a tool with arguments of this schema.
    ByTool(Value),
    /// By asking.
    ByWord,
}

impl Structure {
    /// What this model is told.
    pub(super) fn of(params: &Params<'_>, family: Family) -> Result<Self, Fault> {
        let has_tools = params
            .get("tools")
            .and_then(Value::as_array)
            .is_some_and(|tools| !tools.is_empty());
        match params.format()? {
            Format::Text => Ok(Self::Free),
            Format::Object if has_tools || !family.can_be_made_to_call() => Ok(Self::ByWord),
            Format::Object => Ok(Self::ByTool(json!({"type": "object"}))),
            Format::Schema(schema) if family.keeps_to_schemas() => {
                Ok(Self::BySchema(output_config(schema, params)))
            }
            Format::Schema(_) if has_tools => Err(Fault::unsupported(
                "response_format: this model takes either a schema or tools, not both",
            )),
            Format::Schema(schema) => Ok(Self::ByTool(schema)),
        }
    }
}

/// Bedrock wants the schema as a text, and every object in it closed.
fn output_config(schema: Value, params: &Params<'_>) -> Value {
    let mut format = json!({"schema": closed(schema).to_string()});
    let given = |name: &str| {
        params
            .get("response_format")?
            .get("json_schema")?
            .get(name)?
            .as_str()
    };
    for name in ["name", "description"] {
        if let Some(text) = given(name) {
            format[name] = text.into();
        }
    }
    json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": format}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(model: &str, params: &Value) -> Result<Structure, Fault> {
        Structure::of(&Params::new(params.as_object().unwrap()), Family::of(model))
    }

    #[test]
    fn each_family_in_its_own_way() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let by_schema = json!({"response_format": {"type": "json_schema",
            "json_schema": {"name": "place", "schema": schema}}});
        let some = json!({"response_format": {"type": "json_object"}});
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let with_tools = |mut params: Value| {
            params["tools"] = tools.clone();
            params
        };
        let Structure::BySchema(config) = structure("us.anthropic.claude-sonnet-4-6", &by_schema).unwrap()
        else {
            panic!("natively")
        };
        let written = &config["textFormat"]["structure"]["jsonSchema"];
        assert_eq!(written["name"], "place");
        let text = written["schema"].as_str().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(text).unwrap()["additionalProperties"],
            false
        );
        assert!(matches!(
            structure("openai.gpt-oss-20b-1:0", &with_tools(by_schema.clone())),
            Ok(Structure::BySchema(_))
        ));
        for older in ["amazon.nova-pro-v1:0", "anthropic.claude-3-7-sonnet-v1:0"] {
            assert_eq!(
                structure(older, &by_schema).unwrap(),
                Structure::ByTool(schema.clone())
            );
            let refused = structure(older, &with_tools(by_schema.clone())).unwrap_err();
            assert!(refused.quoted().starts_with("response_format: "));
            assert_eq!(
                structure(older, &with_tools(some.clone())).unwrap(),
                Structure::ByWord
            );
        }
        let object = Structure::ByTool(json!({"type": "object"}));
        assert_eq!(structure("amazon.nova-pro-v1:0", &some).unwrap(), object);
        assert_eq!(
            structure("qwen.qwen3-32b-v1:0", &some).unwrap(),
            Structure::ByWord
        );
        assert_eq!(
            structure("amazon.nova-pro-v1:0", &json!({})).unwrap(),
            Structure::Free
        );
    }
}
