//! The conversation a chat run continues: OpenAI chat messages, checked as far as this side has to know them. Fields
//! nobody here knows are kept, in the client's own words.

use serde_json::Value;
use serde_json::value::RawValue;

use super::validate::{invalid, refuse_nul};
use crate::body;
use crate::problem::{Code, Problem};

const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// A conversation with something in it to answer.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    /// As the client wrote it: a JSON array.
    pub(super) text: Box<RawValue>,
    /// The same, parsed.
    pub(super) parsed: Vec<Value>,
}

impl Messages {
    /// One message of the user's.
    ///
    /// # Errors
    /// When there is nothing in it, or NUL.
    pub(crate) fn of_prompt(prompt: &str) -> Result<Self, Problem> {
        if prompt.trim().is_empty() {
            return Err(Problem::new(Code::EmptyPrompt)
                .detail("the prompt is empty")
                .field("prompt"));
        }
        if prompt.contains('\0') {
            return Err(Problem::new(Code::NulCharacter).field("prompt"));
        }
        let parsed = vec![serde_json::json!({ "role": "user", "content": prompt })];
        let text = serde_json::value::to_raw_value(&parsed).map_err(|error| Problem::internal(&error))?;
        Ok(Self { text, parsed })
    }

    /// A conversation as the client wrote it.
    ///
    /// # Errors
    /// When it is not an array of messages, when nothing in it is to be answered, or when there is NUL in it.
    pub(crate) fn of_json(text: Box<RawValue>) -> Result<Self, Problem> {
        let parsed: Vec<Value> = serde_json::from_str(text.get())
            .map_err(|error| body::refused("messages", &error).field("messages"))?;
        for (index, message) in parsed.iter().enumerate() {
            let field = format!("messages[{index}]");
            refuse_nul(message, &field)?;
            check(message, &field)?;
        }
        if !parsed.iter().any(says_something) {
            return Err(Problem::new(Code::EmptyPrompt)
                .detail("no message says anything")
                .field("messages"));
        }
        Ok(Self { text, parsed })
    }
}

fn check(message: &Value, field: &str) -> Result<(), Problem> {
    let Value::Object(message) = message else {
        return Err(invalid(field, "must be an object with `role` and `content`"));
    };
    let role = message
        .get("role")
        .and_then(Value::as_str)
        .filter(|role| ROLES.contains(role));
    let Some(role) = role else {
        return Err(invalid(
            &format!("{field}.role"),
            format!("must be one of {}", ROLES.join(", ")),
        ));
    };
    let content = format!("{field}.content");
    match message.get("content") {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => {
            let typed = |part: &Value| part.get("type").is_some_and(Value::is_string);
            match parts.iter().position(|part| !typed(part)) {
                None => Ok(()),
                Some(index) => Err(invalid(
                    &format!("{content}[{index}]"),
                    "must be an object with a `type`",
                )),
            }
        }
        // An assistant that called tools or refused has said nothing.
        None | Some(Value::Null) if role == "assistant" => Ok(()),
        _ => Err(invalid(&content, "must be a text or a list of parts")),
    }
}

fn says_something(message: &Value) -> bool {
    match message.get("content") {
        Some(Value::String(text)) => {
            !text.trim().is_empty() || message.get("role").is_some_and(|role| role == "tool")
        }
        Some(Value::Array(parts)) => !parts.is_empty(),
        _ => false,
    }
}
