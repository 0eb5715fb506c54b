//! Tools and whether the model must call one.

use serde_json::{Map, Value, json};

use crate::providers::canonical::{Choice, Function, Params, Tool};
use crate::providers::wire::Fault;

/// The tools of a request.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) list: Vec<Value>,
    /// `tool_choice`; none where the model decides.
    pub(super) choice: Option<Value>,
    /// Whether it must call one: then it may not think first.
    pub(super) forced: bool,
}

impl Tools {
    /// The caller's.
    pub(super) fn of(params: &Params<'_>) -> Result<Self, Fault> {
        let list: Vec<Value> = params.tools()?.into_iter().map(written).collect();
        let choice = params.tool_choice()?;
        let one_at_a_time = params.get("parallel_tool_calls") == Some(&Value::Bool(false));
        if list.is_empty() {
            return Ok(Self {
                list,
                choice: None,
                forced: false,
            });
        }
        let forced = matches!(choice, Choice::Required | Choice::Named(_));
        let mut written = match choice {
            Choice::Auto if !one_at_a_time => None,
            Choice::Auto => Some(json!({"type": "auto"})),
            Choice::None => Some(json!({"type": "none"})),
            Choice::Required => Some(json!({"type": "any"})),
            Choice::Named(name) => Some(json!({"type": "tool", "name": name})),
        };
        if one_at_a_time && let Some(choice) = written.as_mut().filter(|choice| choice["type"] != "none") {
            choice["disable_parallel_tool_use"] = Value::Bool(true);
        }
        Ok(Self {
            list,
            choice: written,
            forced,
        })
    }

    /// One tool that has to be called, with arguments of this schema.
    pub(super) fn only(name: &str, description: &str, schema: &Value) -> Self {
        Self {
            list: vec![json!({"name": name, "description": description, "input_schema": schema})],
            choice: Some(json!({"type": "tool", "name": name, "disable_parallel_tool_use": true})),
            forced: true,
        }
    }
}

fn written(tool: Tool) -> Value {
    match tool {
        Tool::Other(fields) => Value::Object(fields),
        Tool::Function(Function {
            name,
            description,
            parameters,
            strict,
            beside,
        }) => {
            let mut tool: Map<String, Value> = beside;
            tool.insert("name".to_owned(), Value::String(name));
            if let Some(description) = description {
                tool.insert("description".to_owned(), Value::String(description));
            }
            if strict == Some(true) {
                tool.insert("strict".to_owned(), Value::Bool(true));
            }
            let schema = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
            tool.insert("input_schema".to_owned(), schema);
            Value::Object(tool)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(params: Value) -> Tools {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        Tools::of(&Params::new(&params)).unwrap()
    }

    fn one() -> Value {
        json!([{"type": "function", "function": {"name": "f"}}])
    }

    #[test]
    fn functions_become_tools() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let made = tools(json!({"tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": true}},
            {"type": "function", "function": {"name": "g", "strict": false}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search"}]}));
        assert_eq!(
            made.list,
            [
                json!({"name": "f", "description": "d", "input_schema": schema, "strict": true}),
                json!({"name": "g", "input_schema": {"type": "object", "properties": {}},
                    "cache_control": {"type": "ephemeral"}}),
                json!({"type": "web_search_20250305", "name": "web_search"})
            ]
        );
        assert_eq!((made.choice, made.forced), (None, false));
    }

    #[test]
    fn every_choice() {
        let named = json!({"type": "function", "function": {"name": "f"}});
        for (choice, written, forced) in [
            (json!("auto"), None, false),
            (json!("none"), Some(json!({"type": "none"})), false),
            (json!("required"), Some(json!({"type": "any"})), true),
            (named, Some(json!({"type": "tool", "name": "f"})), true),
        ] {
            let made = tools(json!({"tools": one(), "tool_choice": choice}));
            assert_eq!((made.choice, made.forced), (written, forced), "{choice}");
        }
        let single = |choice: &str| {
            let params = json!({"tools": one(), "tool_choice": choice, "parallel_tool_calls": false});
            tools(params).choice.unwrap()
        };
        assert_eq!(
            single("auto"),
            json!({"type": "auto", "disable_parallel_tool_use": true})
        );
        assert_eq!(
            single("required"),
            json!({"type": "any", "disable_parallel_tool_use": true})
        );
        assert_eq!(single("none"), json!({"type": "none"}));
        let nothing = tools(json!({"tool_choice": "required", "tools": []}));
        assert_eq!((nothing.choice, nothing.forced), (None, false));
    }
}
