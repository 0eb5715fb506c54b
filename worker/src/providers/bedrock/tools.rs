//! `toolConfig`: what the model may call, and whether it must.

use serde_json::{Map, Value, json};

use super::family::Family;
use super::structure::{ANSWER_TOOL, Structure};
use crate::providers::canonical::{Choice, Function, Params, Tool};
use crate::providers::wire::Fault;

/// What a request says of tools.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// `toolConfig`; none without tools.
    pub(super) config: Option<Value>,
    /// It must call one.
    pub(super) forced: bool,
    /// What Claude is told beside, to call one tool at a time.
    pub(super) one_at_a_time: Option<Value>,
}

impl Tools {
    /// By the parameters, or the tool that carries the answer.
    pub(super) fn of(params: &Params<'_>, structure: &Structure, family: Family) -> Result<Self, Fault> {
        if let Structure::ByTool(schema) = structure {
            let spec = json!({"name": ANSWER_TOOL, "inputSchema": {"json": schema},
                "description": "Gives the answer. Its arguments are the whole answer."});
            let config =
                json!({"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": ANSWER_TOOL}}});
            return Ok(Self {
                config: Some(config),
                forced: true,
                one_at_a_time: None,
            });
        }
        let tools: Vec<Value> = params.tools()?.into_iter().map(written).collect();
        let choice = params.tool_choice()?;
        if tools.is_empty() || choice == Choice::None {
            return Ok(Self::default());
        }
        let single = params.get("parallel_tool_calls") == Some(&Value::Bool(false));
        if single && !matches!(family, Family::Claude(_)) {
            return Err(Fault::unsupported(
                "parallel_tool_calls: this model cannot be kept from calling several tools at once",
            ));
        }
        let mut config = json!({"tools": tools});
        let (written, claudes) = match &choice {
            Choice::Auto | Choice::None => (None, json!({"type": "auto"})),
            Choice::Required => (Some(json!({"any": {}})), json!({"type": "any"})),
            Choice::Named(name) => (
                Some(json!({"tool": {"name": name}})),
                json!({"type": "tool", "name": name}),
            ),
        };
        let forced = written.is_some();
        if let Some(written) = written {
            config["toolChoice"] = written;
        }
        let one_at_a_time = single.then(|| {
            let mut choice = claudes;
            choice["disable_parallel_tool_use"] = true.into();
            choice
        });
        Ok(Self {
            config: Some(config),
            forced,
            one_at_a_time,
        })
    }
}

fn written(tool: Tool) -> Value {
    match tool {
        Tool::Function(Function {
            name,
            description,
            parameters,
            strict,
            ..
        }) => {
            let mut spec = Map::new();
            spec.insert("name".to_owned(), name.into());
            if let Some(description) = description.filter(|text| !text.is_empty()) {
                spec.insert("description".to_owned(), description.into());
            }
            let schema = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
            spec.insert("inputSchema".to_owned(), json!({"json": schema}));
            if strict == Some(true) {
                spec.insert("strict".to_owned(), true.into());
            }
            json!({"toolSpec": spec})
        }
        // `{"type": "cachePoint", "cachePoint": {...}}`: Bedrock's own, which have no type.
        Tool::Other(mut fields) => {
            fields.remove("type");
            Value::Object(fields)
        }
    }
}
