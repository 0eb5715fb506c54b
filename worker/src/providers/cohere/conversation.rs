//! The messages. Cohere's are much like OpenAI's, but it takes no field it does not know, so that each is written
//! anew. System prompts stay where they stand.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::providers::canonical::{Message, Part, Role, Source, ToolCall};
use crate::providers::wire::Fault;

/// Where the plan stands that a model made before it called tools, in Cohere's messages and in ours.
pub(super) const TOOL_PLAN: &str = "tool_plan";

/// The list of messages in Cohere's form.
pub(super) fn messages(messages: &RawValue) -> Result<Vec<Value>, Fault> {
    Message::list(messages)?.into_iter().map(message).collect()
}

fn message(mut message: Message) -> Result<Value, Fault> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut written = Map::new();
    written.insert("role".to_owned(), json!(role));
    if let Some(content) = content(&message)? {
        written.insert("content".to_owned(), content);
    }
    if let Some(id) = message.tool_call_id.take() {
        written.insert("tool_call_id".to_owned(), Value::String(id));
    }
    if !message.tool_calls.is_empty() {
        let calls: Vec<Value> = message.tool_calls.into_iter().map(tool_call).collect();
        written.insert("tool_calls".to_owned(), Value::Array(calls));
        if let Some(plan @ Value::String(_)) = message.beside.remove(TOOL_PLAN) {
            written.insert(TOOL_PLAN.to_owned(), plan);
        }
    }
    Ok(Value::Object(written))
}

/// A string where there is text only; none where there is nothing and there need not be.
fn content(message: &Message) -> Result<Option<Value>, Fault> {
    if let Some(text) = message.text() {
        let silent = text.is_empty() && message.role == Role::Assistant;
        return Ok((!silent).then_some(Value::String(text)));
    }
    let parts = message.parts.iter().enumerate();
    let parts: Vec<Value> = parts
        .map(|(at, part)| written(part, message.at, at))
        .collect::<Result<_, _>>()?;
    Ok(Some(Value::Array(parts)))
}

fn written(part: &Part, message: usize, at: usize) -> Result<Value, Fault> {
    match part {
        Part::Text { text, .. } => Ok(json!({"type": "text", "text": text})),
        Part::Image { source, detail, .. } => {
            let url = match source {
                Source::Inline { media_type, data } => format!("data:{media_type};base64,{data}"),
                Source::Link(url) => url.clone(),
            };
            let mut image = json!({"url": url});
            if let Some(detail) = detail {
                image["detail"] = json!(detail);
            }
            Ok(json!({"type": "image_url", "image_url": image}))
        }
        Part::File { .. } => Err(Fault::unsupported(format!(
            "messages[{message}].content[{at}].file: files are not taken by this provider"
        ))),
        Part::Other(fields) => Ok(Value::Object(fields.clone())),
    }
}

fn tool_call(call: ToolCall) -> Value {
    let ToolCall {
        id, name, arguments, ..
    } = call;
    let arguments = if arguments.trim().is_empty() {
        "{}".to_owned()
    } else {
        arguments
    };
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(list: &Value) -> Result<Vec<Value>, Fault> {
        messages(&RawValue::from_string(list.to_string()).unwrap())
    }

    #[test]
    fn known_fields_only() {
        let list = json!([
            {"role": "developer", "content": "brief", "name": "n"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "x": 1}]},
            {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_plan": "I will ask.",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c", "content": ""},
            {"role": "system", "content": "now in French"},
            {"role": "user", "content": [{"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]);
        assert_eq!(
            written(&list).unwrap(),
            [
                json!({"role": "system", "content": "brief"}),
                json!({"role": "user", "content": "a\nb"}),
                json!({"role": "assistant", "tool_plan": "I will ask.",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
                json!({"role": "tool", "tool_call_id": "c", "content": ""}),
                json!({"role": "system", "content": "now in French"}),
                json!({"role": "user", "content": [{"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}),
            ]
        );
        let file = json!([{"role": "user", "content": [
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}}]}]);
        let refused = written(&file).unwrap_err().quoted();
        assert!(refused.starts_with("messages[0].content[0].file: "), "{refused}");
    }
}
