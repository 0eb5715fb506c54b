//! The messages: OpenAI's list becomes `system` and turns of `user` and `assistant`, whose content is blocks.
//!
//! Instructions go into `system` wherever they stand, in their order. Turns of the same speaker become one, for
//! Converse wants them to alternate; so the results of parallel calls are in one turn, as it demands. Text without a
//! visible letter is left out: it is refused.

use serde_json::{Value, json};

use super::family::Family;
use crate::providers::ChatCall;
use crate::providers::anthropic::THINKING_BLOCKS;
use crate::providers::canonical::{Message, Part, Role, Source};
use crate::providers::wire::Fault;

/// As long as the id of a call may be.
const LONGEST_ID: usize = 64;
/// As long as the name of a document may be.
const LONGEST_NAME: usize = 200;

/// A conversation in Converse's form.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<Value>,
    turns: Vec<(&'static str, Vec<Value>)>,
    /// An assistant's turn called tools without the thinking that led to it, and the results stand last.
    pub(super) resumes_without_thinking: bool,
    documents: usize,
}

impl Conversation {
    /// Reads it from OpenAI's form.
    pub(super) fn read(call: &ChatCall<'_>, family: Family) -> Result<Self, Fault> {
        let mut conversation = Self::default();
        for message in Message::list(call.messages)? {
            conversation.add(message, family)?;
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
        self.say("assistant", vec![json!({"text": beginning})]);
    }

    /// Adds to the system prompt.
    pub(super) fn instruct(&mut self, instruction: &str) {
        self.system.push(json!({"text": instruction}));
    }

    /// The list of messages.
    pub(super) fn into_messages(self) -> Vec<Value> {
        let turns = self.turns.into_iter();
        turns
            .map(|(role, content)| json!({"role": role, "content": content}))
            .collect()
    }

    fn add(&mut self, mut message: Message, family: Family) -> Result<(), Fault> {
        let at = message.at;
        let blocks = self.blocks(std::mem::take(&mut message.parts), at)?;
        match message.role {
            Role::System => self.system.extend(blocks),
            Role::User => {
                self.resumes_without_thinking = false;
                self.say("user", blocks);
            }
            Role::Assistant => {
                let mut content = match message.beside.remove(THINKING_BLOCKS) {
                    Some(Value::Array(thoughts)) if matches!(family, Family::Claude(_)) => {
                        thoughts.iter().filter_map(thought).collect()
                    }
                    _ => Vec::new(),
                };
                self.resumes_without_thinking = content.is_empty() && !message.tool_calls.is_empty();
                content.extend(blocks);
                for call in message.tool_calls {
                    let input = call.arguments(at)?;
                    let id = tool_use_id(&call.id);
                    content.push(json!({"toolUse": {"toolUseId": id, "name": call.name, "input": input}}));
                }
                self.say("assistant", content);
            }
            Role::Tool => {
                let id = tool_use_id(message.tool_call_id.as_deref().unwrap_or_default());
                self.say(
                    "user",
                    vec![json!({"toolResult": {"toolUseId": id, "content": blocks}})],
                );
            }
        }
        Ok(())
    }

    fn say(&mut self, role: &'static str, content: Vec<Value>) {
        match self.turns.last_mut() {
            _ if content.is_empty() => {}
            Some((last, said)) if *last == role => said.extend(content),
            _ => self.turns.push((role, content)),
        }
    }

    fn blocks(&mut self, parts: Vec<Part>, message: usize) -> Result<Vec<Value>, Fault> {
        let mut blocks = Vec::with_capacity(parts.len());
        for part in parts {
            blocks.push(match part {
                Part::Text { text, .. } if text.trim().is_empty() => continue,
                Part::Text { text, .. } => json!({"text": text}),
                Part::Image { source, .. } => image(source, message)?,
                Part::File { source, name } => self.document(source, name, message)?,
                // `{"type": "cachePoint", "cachePoint": {...}}`: Bedrock's own blocks, which have no type.
                Part::Other(mut fields) => {
                    fields.remove("type");
                    Value::Object(fields)
                }
            });
        }
        Ok(blocks)
    }

    /// A file, under a name no other in this conversation has.
    fn document(&mut self, source: Source, name: Option<String>, message: usize) -> Result<Value, Fault> {
        if matches!(&source, Source::Inline { media_type, .. } if media_type.starts_with("image/")) {
            return image(source, message);
        }
        let (media_type, data) = inline(source, message, "file.file_data")?;
        let format = match media_type.as_str() {
            "application/pdf" => "pdf",
            "text/csv" => "csv",
            "text/html" => "html",
            "text/plain" => "txt",
            "text/markdown" => "md",
            "application/msword" => "doc",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
            "application/vnd.ms-excel" => "xls",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
            other => return Err(unknown_form(message, "file.file_data", other)),
        };
        self.documents += 1;
        let mut name = plain(&name.unwrap_or_else(|| "document".to_owned()));
        if self.documents > 1 {
            name = format!("{name}-{}", self.documents);
        }
        Ok(json!({"document": {"format": format, "name": name, "source": {"bytes": data}}}))
    }
}

/// Signed or encrypted thinking; none for what is neither.
fn thought(block: &Value) -> Option<Value> {
    let reasoning = match block["type"].as_str()? {
        "thinking" => {
            json!({"reasoningText": {"text": block["thinking"].as_str()?, "signature": block["signature"].as_str()?}})
        }
        "redacted_thinking" => json!({"redactedContent": block["data"].as_str()?}),
        _ => return None,
    };
    Some(json!({"reasoningContent": reasoning}))
}

fn image(source: Source, message: usize) -> Result<Value, Fault> {
    let (media_type, data) = inline(source, message, "image_url.url")?;
    let format = match media_type.as_str() {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        other => return Err(unknown_form(message, "image_url.url", other)),
    };
    Ok(json!({"image": {"format": format, "source": {"bytes": data}}}))
}

fn inline(source: Source, message: usize, field: &str) -> Result<(String, String), Fault> {
    match source {
        Source::Inline { media_type, data } => Ok((media_type, data)),
        Source::Link(_) => Err(Fault::unsupported(format!(
            "messages[{message}].content: {field} must be a data: URL in base64, this provider fetches no addresses"
        ))),
    }
}

fn unknown_form(message: usize, field: &str, media_type: &str) -> Fault {
    Fault::unsupported(format!(
        "messages[{message}].content: {field} holds {media_type:?}, which this provider does not take"
    ))
}

/// The id of a call, which another provider may have given, as Converse takes it.
fn tool_use_id(id: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    id.chars()
        .map(|letter| if allowed(letter) { letter } else { '_' })
        .take(LONGEST_ID)
        .collect()
}

/// The name of a document, as Converse takes it: letters, digits, single spaces, and few signs.
fn plain(name: &str) -> String {
    let allowed =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']' | ' ');
    let letters = name
        .chars()
        .map(|letter| if allowed(letter) { letter } else { '-' });
    let name: String = letters.take(LONGEST_NAME).collect();
    name.split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_converse_takes() {
        assert_eq!(tool_use_id("functions.f:0"), "functions_f_0");
        assert_eq!(tool_use_id(&"x".repeat(99)).len(), 64);
        assert_eq!(plain("Q3  report (final).pdf"), "Q3 report (final)-pdf");
    }

    #[test]
    fn thinking_that_can_be_sent_back() {
        assert_eq!(
            thought(&json!({"index": 0, "type": "thinking", "thinking": "hm", "signature": "s"})),
            Some(json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}))
        );
        assert_eq!(
            thought(&json!({"type": "redacted_thinking", "data": "x"})),
            Some(json!({"reasoningContent": {"redactedContent": "x"}}))
        );
        for unsigned in [
            json!({"type": "thinking", "thinking": "hm"}),
            json!({"type": "other"}),
            json!({}),
        ] {
            assert_eq!(thought(&unsigned), None);
        }
    }
}
