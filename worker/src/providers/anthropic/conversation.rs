//! The messages: OpenAI's list becomes a system prompt and turns of `user` and `assistant`, whose content is blocks.
//!
//! - System prompts, wherever they stand, go into `system` in their order: before Claude 4.8 there is no other place
//!   for them, and the later place has rules of its own. A conversation of nothing else has its last one said by the
//!   user, for Messages wants a turn to answer.
//! - Turns of the same speaker become one, which is how Anthropic reads them; so the results of parallel calls are in
//!   one message, as it demands.
//! - Text without a visible letter is left out: Anthropic refuses it.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::providers::canonical::{Message, Part, Role, Source};
use crate::providers::wire::Fault;

/// Where the signed thinking of an assistant message stands.
pub(in crate::providers) const THINKING_BLOCKS: &str = "thinking_blocks";

/// A conversation in Anthropic's form.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Blocks of the system prompt.
    pub(super) system: Vec<Value>,
    turns: Vec<Turn>,
    /// An assistant message called tools without the thinking that led to it, and its results stand last.
    pub(super) resumes_without_thinking: bool,
}

#[derive(Debug)]
struct Turn {
    role: &'static str,
    content: Vec<Value>,
}

impl Conversation {
    /// Reads it from OpenAI's form.
    pub(super) fn read(messages: &RawValue) -> Result<Self, Fault> {
        let mut conversation = Self {
            system: Vec::new(),
            turns: Vec::new(),
            resumes_without_thinking: false,
        };
        for message in Message::list(messages)? {
            conversation.add(message)?;
        }
        if conversation.turns.is_empty()
            && let Some(last) = conversation.system.pop()
        {
            conversation.say("user", vec![last]);
        }
        Ok(conversation)
    }

    /// Lets the answer begin with this text.
    pub(super) fn begin_answer(&mut self, beginning: &str) {
        self.say("assistant", vec![json!({"type": "text", "text": beginning})]);
    }

    /// Adds to the system prompt.
    pub(super) fn instruct(&mut self, instruction: &str) {
        self.system.push(json!({"type": "text", "text": instruction}));
    }

    /// The list of messages.
    pub(super) fn into_messages(self) -> Vec<Value> {
        let message = |Turn { role, content }| json!({"role": role, "content": content});
        self.turns.into_iter().map(message).collect()
    }

    fn add(&mut self, message: Message) -> Result<(), Fault> {
        match message.role {
            Role::System => {
                let blocks = blocks(message.parts)?;
                self.system.extend(blocks);
            }
            Role::User => {
                self.resumes_without_thinking = false;
                let blocks = blocks(message.parts)?;
                self.say("user", blocks);
            }
            Role::Assistant => self.add_assistant(message)?,
            Role::Tool => {
                let mut result = Map::new();
                result.insert("type".to_owned(), json!("tool_result"));
                result.insert("tool_use_id".to_owned(), json!(message.tool_call_id));
                let content = blocks(message.parts)?;
                if !content.is_empty() {
                    result.insert("content".to_owned(), Value::Array(content));
                }
                self.say("user", vec![Value::Object(result)]);
            }
        }
        Ok(())
    }

    fn add_assistant(&mut self, mut message: Message) -> Result<(), Fault> {
        let mut content = match message.beside.remove(THINKING_BLOCKS) {
            Some(Value::Array(thoughts)) => thoughts.into_iter().filter_map(thought).collect(),
            _ => Vec::new(),
        };
        self.resumes_without_thinking = content.is_empty() && !message.tool_calls.is_empty();
        content.extend(blocks(message.parts)?);
        for call in message.tool_calls {
            let input = call.arguments(message.at)?;
            content.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
        }
        self.say("assistant", content);
        Ok(())
    }

    fn say(&mut self, role: &'static str, content: Vec<Value>) {
        match self.turns.last_mut() {
            _ if content.is_empty() => {}
            Some(last) if last.role == role => last.content.extend(content),
            _ => self.turns.push(Turn { role, content }),
        }
    }
}

/// A block of thinking as it came, without the index under which it was added up.
fn thought(block: Value) -> Option<Value> {
    let Value::Object(mut fields) = block else {
        return None;
    };
    fields.remove("index");
    Some(Value::Object(fields))
}

fn blocks(parts: Vec<Part>) -> Result<Vec<Value>, Fault> {
    parts
        .into_iter()
        .filter_map(|part| block(part).transpose())
        .collect()
}

/// A part as a block; none for text without a visible letter.
fn block(part: Part) -> Result<Option<Value>, Fault> {
    let mut block = match part {
        Part::Text { text, .. } if text.trim().is_empty() => return Ok(None),
        Part::Text { text, mut beside } => {
            beside.insert("text".to_owned(), Value::String(text));
            beside.insert("type".to_owned(), json!("text"));
            return Ok(Some(Value::Object(beside)));
        }
        Part::Other(fields) => return Ok(Some(Value::Object(fields))),
        Part::Image {
            source, mut beside, ..
        } => {
            beside.insert("type".to_owned(), json!(kind_of(&source)));
            beside.insert("source".to_owned(), written(source));
            beside
        }
        Part::File { source, name } => {
            let mut block = Map::new();
            block.insert("type".to_owned(), json!(kind_of(&source)));
            if kind_of(&source) == "document"
                && let Some(name) = name
            {
                block.insert("title".to_owned(), Value::String(name));
            }
            block.insert("source".to_owned(), written(source));
            block
        }
    };
    block.retain(|_, value| !value.is_null());
    Ok(Some(Value::Object(block)))
}

/// What a block of this source is called. A link is taken for a picture: only pictures are linked to.
fn kind_of(source: &Source) -> &'static str {
    match source {
        Source::Inline { media_type, .. } if !media_type.starts_with("image/") => "document",
        _ => "image",
    }
}

fn written(source: Source) -> Value {
    match source {
        Source::Inline { media_type, data } => {
            json!({"type": "base64", "media_type": media_type, "data": data})
        }
        Source::Link(url) => json!({"type": "url", "url": url}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &Value) -> Conversation {
        Conversation::read(&RawValue::from_string(messages.to_string()).unwrap()).unwrap()
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn system_prompts_are_gathered_wherever_they_stand() {
        let conversation = read(&json!([
            {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": "hi"},
            {"role": "developer", "content": "b"},
            {"role": "assistant", "content": "yes"}]));
        assert_eq!(
            conversation.system,
            [
                json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}),
                text("b")
            ]
        );
        assert_eq!(
            conversation.into_messages(),
            [
                json!({"role": "user", "content": [text("hi")]}),
                json!({"role": "assistant", "content": [text("yes")]})
            ]
        );
        let alone = read(&json!([{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]));
        assert_eq!(alone.system, [text("a")]);
        assert_eq!(
            alone.into_messages(),
            [json!({"role": "user", "content": [text("b")]})]
        );
    }

    #[test]
    fn tools_called_in_parallel() {
        let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
        let used =
            |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
        let conversation = read(&json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "", "tool_calls": [call("a", "{\"x\": 1}"), call("b", "")]},
            {"role": "tool", "tool_call_id": "a", "content": "one"},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            {"role": "user", "content": "and?"}]));
        assert!(!conversation.resumes_without_thinking, "the user spoke");
        assert_eq!(
            conversation.into_messages()[1..],
            [
                json!({"role": "assistant", "content": [used("a", json!({"x": 1})), used("b", json!({}))]}),
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [text("one")]},
                    {"type": "tool_result", "tool_use_id": "b"},
                    text("and?")]})
            ]
        );
    }

    #[test]
    fn thinking_goes_back_as_it_came() {
        let messages = |blocks: Value| {
            json!([
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "so", "reasoning_content": "hm", "thinking_blocks": blocks,
                    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "a", "content": "one"}])
        };
        let signed = read(&messages(json!([
            {"index": 0, "type": "thinking", "thinking": "hm", "signature": "s"},
            {"index": 1, "type": "redacted_thinking", "data": "x"}])));
        assert!(!signed.resumes_without_thinking);
        assert_eq!(
            signed.into_messages()[1]["content"],
            json!([
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                text("so"),
                {"type": "tool_use", "id": "a", "name": "f", "input": {}}])
        );
        let unsigned = read(&messages(Value::Null));
        assert!(unsigned.resumes_without_thinking);
        assert_eq!(
            unsigned.into_messages()[1]["content"].as_array().unwrap().len(),
            2
        );
    }

    #[test]
    fn pictures_and_files() {
        let conversation = read(&json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
            {"type": "text", "text": " \n"},
            {"type": "search_result", "source": "s"}]}]));
        assert_eq!(
            conversation.into_messages()[0]["content"],
            json!([
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "title": "a.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
                {"type": "search_result", "source": "s"}])
        );
    }
}
