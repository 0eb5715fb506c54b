//! What the model may call, and whether it must.

use serde_json::{Map, Value};

use super::Params;
use crate::providers::wire::Fault;

/// An entry of `tools`.
#[derive(Debug, PartialEq)]
pub(in crate::providers) enum Tool {
    Function(Function),
    /// A tool OpenAI does not know, as it came: a provider's own.
    Other(Map<String, Value>),
}

/// A function the caller carries out.
#[derive(Debug, PartialEq)]
pub(in crate::providers) struct Function {
    pub(in crate::providers) name: String,
    pub(in crate::providers) description: Option<String>,
    /// JSON schema of the arguments; none for a function without any.
    pub(in crate::providers) parameters: Option<Value>,
    /// Whether the arguments must keep to the schema.
    pub(in crate::providers) strict: Option<bool>,
    /// Fields that are not OpenAI's: `cache_control`.
    pub(in crate::providers) beside: Map<String, Value>,
}

/// `tool_choice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::providers) enum Choice {
    /// The model decides; also what silence means.
    Auto,
    /// No call.
    None,
    /// At least one call.
    Required,
    /// A call of this function.
    Named(String),
}

impl Params<'_> {
    /// `tools`; empty where there are none.
    pub(in crate::providers) fn tools(&self) -> Result<Vec<Tool>, Fault> {
        match self.get("tools") {
            None => Ok(Vec::new()),
            Some(Value::Array(tools)) => tools
                .iter()
                .enumerate()
                .map(|(at, tool)| Tool::read(at, tool))
                .collect(),
            Some(_) => Err(Fault::unsupported("tools: must be a list")),
        }
    }

    /// `tool_choice`.
    pub(in crate::providers) fn tool_choice(&self) -> Result<Choice, Fault> {
        let chosen = match self.get("tool_choice") {
            None => Some(Choice::Auto),
            Some(Value::String(word)) => match word.as_str() {
                "auto" => Some(Choice::Auto),
                "none" => Some(Choice::None),
                "required" => Some(Choice::Required),
                _ => None,
            },
            Some(choice) => choice["function"]["name"]
                .as_str()
                .map(|name| Choice::Named(name.to_owned())),
        };
        chosen.ok_or_else(|| {
            Fault::unsupported("tool_choice: must be auto, none, required or the name of one function")
        })
    }
}

impl Tool {
    fn read(at: usize, tool: &Value) -> Result<Self, Fault> {
        let wrong = |field: &str, wrong: &str| Fault::unsupported(format!("tools[{at}]{field}: {wrong}"));
        let Value::Object(fields) = tool else {
            return Err(wrong("", "must be an object"));
        };
        match fields.get("type").and_then(Value::as_str) {
            Some("function") => {}
            Some("custom") | None => return Err(wrong(".type", "only functions are taken by this provider")),
            Some(_) => return Ok(Self::Other(fields.clone())),
        }
        let Some(Value::Object(function)) = fields.get("function") else {
            return Err(wrong(".function", "must be an object"));
        };
        let text = |name: &str| function.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(name) = text("name") else {
            return Err(wrong(".function.name", "must be a string"));
        };
        let mut beside = fields.clone();
        beside.retain(|field, value| !matches!(field.as_str(), "type" | "function") && !value.is_null());
        Ok(Self::Function(Function {
            name,
            description: text("description"),
            parameters: function
                .get("parameters")
                .filter(|schema| !schema.is_null())
                .cloned(),
            strict: function.get("strict").and_then(Value::as_bool),
            beside,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn functions_and_others() {
        let params = params(&json!({"tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "strict": true,
                "parameters": {"type": "object"}}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search"}]}));
        let tools = Params::new(&params).tools().unwrap();
        let Tool::Function(function) = &tools[0] else {
            panic!("{tools:?}")
        };
        assert_eq!((function.name.as_str(), function.strict), ("f", Some(true)));
        assert_eq!(function.parameters, Some(json!({"type": "object"})));
        assert_eq!(function.beside.len(), 1);
        assert!(matches!(&tools[1], Tool::Other(fields) if fields["name"] == "web_search"));
    }

    #[test]
    fn choices() {
        let choice = |value: Value| {
            let params = params(&json!({"tool_choice": value}));
            Params::new(&params).tool_choice()
        };
        for (value, expected) in [
            (Value::Null, Choice::Auto),
            (json!("auto"), Choice::Auto),
            (json!("none"), Choice::None),
            (json!("required"), Choice::Required),
            (
                json!({"type": "function", "function": {"name": "f"}}),
                Choice::Named("f".to_owned()),
            ),
        ] {
            assert_eq!(choice(value).unwrap(), expected);
        }
        for wrong in [json!("any"), json!({"type": "allowed_tools"}), json!(7)] {
            assert!(choice(wrong).unwrap_err().quoted().starts_with("tool_choice: "));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (tools, named) in [
            (json!({}), "tools: "),
            (json!([7]), "tools[0]: "),
            (json!([{"type": "custom"}]), "tools[0].type: "),
            (json!([{"type": "function"}]), "tools[0].function: "),
            (
                json!([{"type": "function", "function": {}}]),
                "tools[0].function.name: ",
            ),
        ] {
            let params = params(&json!({"tools": tools}));
            let said = Params::new(&params).tools().unwrap_err().quoted();
            assert!(said.starts_with(named), "{said}");
        }
    }
}
