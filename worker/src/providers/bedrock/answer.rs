//! Reads an answer: the events of `ConverseStream`, or the answer of `Converse`, read as if it had come in events.
//!
//! A message is a list of blocks, which the events address by index. Text becomes text; the use of a tool an entry of
//! `tool_calls`, counted from 0 on their own; thinking `reasoning_content` as it comes, and an entry of
//! `thinking_blocks` once its block ends with a signature; a block we do not know an entry of `content_blocks`. Events
//! we do not know are passed over. `metadata`, with the usage, is the last event; why it ended has come before.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use shared::domain::OutputDelta;

use super::structure::ANSWER_TOOL;
use super::{refusal, usage};
use crate::providers::anthropic::THINKING_BLOCKS;
use crate::providers::canonical::Unsent;
use crate::providers::dialect::{Flow, ReadAnswer};
use crate::providers::wire::{Assembly, Choice, Fault};

/// An object whose fields are still as they were written.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Reader {
    /// The arguments of one tool are the answer.
    by_tool: bool,
    unsent: Unsent,
    /// The blocks that have begun and not ended, by their index.
    open: BTreeMap<u64, Block>,
    calls: u64,
    thoughts: u64,
    others: u64,
}

/// A block that is more than its text.
#[derive(Debug)]
enum Block {
    /// A call of a tool, its place among the calls, and whether any of its arguments have come.
    Call { at: u64, said: bool },
    /// The call whose arguments are the answer.
    Answer,
    /// Thinking. Kept until it is signed.
    Thought { text: String, signature: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(default)]
    content_block_index: u64,
    #[serde(borrow)]
    start: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    stop_reason: Option<String>,
    #[serde(borrow)]
    additional_model_response_fields: Option<&'a RawValue>,
}

/// What a block begins with, what is new in it, or all of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    text: Option<String>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Reasoning<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(default)]
    tool_use_id: String,
    #[serde(default)]
    name: String,
    /// A piece of text in an event, an object in a whole answer.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning<'a> {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
    /// Text and signature in a whole answer.
    #[serde(borrow)]
    reasoning_text: Option<&'a RawValue>,
}

impl Reader {
    /// For an answer that has begun with `beginning`, if with anything.
    pub(super) fn new(by_tool: bool, beginning: Option<&str>) -> Self {
        Self {
            by_tool,
            unsent: beginning
                .map(|beginning| Unsent::split(beginning).1)
                .unwrap_or_default(),
            open: BTreeMap::new(),
            calls: 0,
            thoughts: 0,
            others: 0,
        }
    }

    fn begin_call(&mut self, index: u64, used: &ToolUse<'_>, assembly: &mut Assembly) -> Result<(), Fault> {
        if self.by_tool && used.name == ANSWER_TOOL {
            self.open.insert(index, Block::Answer);
            return Ok(());
        }
        let at = self.calls;
        self.calls += 1;
        self.open.insert(index, Block::Call { at, said: false });
        let call = json!({"index": at, "id": used.tool_use_id, "type": "function",
            "function": {"name": used.name, "arguments": ""}});
        say(assembly, field("tool_calls", json!([call])))
    }

    /// More of the arguments of a call.
    fn arguments(&mut self, index: u64, more: String, assembly: &mut Assembly) -> Result<(), Fault> {
        match self.open.get_mut(&index) {
            _ if more.is_empty() => Ok(()),
            Some(Block::Answer) => self.text(more, assembly),
            Some(Block::Call { at, said }) => {
                *said = true;
                say(assembly, arguments(*at, &more))
            }
            _ => Err(Fault::malformed("arguments of a call that has not begun")),
        }
    }

    fn reason(&mut self, index: u64, reasoning: Reasoning<'_>, assembly: &mut Assembly) -> Result<(), Fault> {
        if let Some(whole) = reasoning.reasoning_text {
            self.reason(index, read(whole)?, assembly)?;
        }
        if let Some(data) = reasoning.redacted_content {
            let block = json!({"index": self.thoughts, "type": "redacted_thinking", "data": data});
            self.thoughts += 1;
            say(assembly, field(THINKING_BLOCKS, json!([block])))?;
        }
        let more = reasoning.text.unwrap_or_default();
        let signed = reasoning.signature.unwrap_or_default();
        if more.is_empty() && signed.is_empty() {
            return Ok(());
        }
        let block = self.open.entry(index).or_insert_with(|| Block::Thought {
            text: String::new(),
            signature: String::new(),
        });
        if let Block::Thought { text, signature } = block {
            text.push_str(&more);
            signature.push_str(&signed);
        }
        if more.is_empty() {
            return Ok(());
        }
        say(assembly, field("reasoning_content", more.into()))
    }

    fn end_block(&mut self, index: u64, assembly: &mut Assembly) -> Result<(), Fault> {
        match self.open.remove(&index) {
            // OpenAI's arguments are JSON even where there are none.
            Some(Block::Call { at, said: false }) => say(assembly, arguments(at, "{}")),
            Some(Block::Thought { text, signature }) if !signature.is_empty() => {
                let at = self.thoughts;
                self.thoughts += 1;
                let block =
                    json!({"index": at, "type": "thinking", "thinking": text, "signature": signature});
                say(assembly, field(THINKING_BLOCKS, json!([block])))
            }
            _ => Ok(()),
        }
    }

    /// More of a block.
    fn grow(&mut self, index: u64, raw: &RawValue, assembly: &mut Assembly) -> Result<(), Fault> {
        let content: Content<'_> = read(raw)?;
        match content {
            Content { text: Some(text), .. } => self.text(text, assembly),
            Content {
                tool_use: Some(used), ..
            } => match used.input {
                Some(input) => self.arguments(index, read(input)?, assembly),
                None => Ok(()),
            },
            Content {
                reasoning_content: Some(reasoning),
                ..
            } => self.reason(index, reasoning, assembly),
            Content { .. } => self.other(raw, assembly),
        }
    }

    /// A block of a whole answer.
    fn block(&mut self, index: u64, raw: &RawValue, assembly: &mut Assembly) -> Result<(), Fault> {
        let content: Content<'_> = read(raw)?;
        match content.tool_use {
            Some(used) => {
                self.begin_call(index, &used, assembly)?;
                let arguments = used.input.map_or("{}", RawValue::get);
                self.arguments(index, arguments.to_owned(), assembly)?;
            }
            None => self.grow(index, raw, assembly)?,
        }
        self.end_block(index, assembly)
    }

    /// A block, or a piece of one, that OpenAI has no form for.
    fn other(&mut self, raw: &RawValue, assembly: &mut Assembly) -> Result<(), Fault> {
        let Value::Object(mut fields) = read(raw)? else {
            return Ok(());
        };
        if fields.is_empty() {
            return Ok(());
        }
        fields.insert("index".to_owned(), self.others.into());
        self.others += 1;
        say(assembly, field("content_blocks", json!([fields])))
    }

    fn text(&mut self, text: String, assembly: &mut Assembly) -> Result<(), Fault> {
        say(assembly, OutputDelta::text(self.unsent.take_off(text)))
    }

    /// Bedrock's reason in OpenAI's word; one we do not know stays. Bedrock's own is kept beside the answer. Source:
    /// `MessageStopEvent` in the Amazon Bedrock API reference.
    fn stop(&self, reason: &str, assembly: &mut Assembly) -> Result<(), Fault> {
        let ours = match reason {
            "end_turn" | "stop_sequence" => "stop",
            "tool_use" if self.by_tool => "stop",
            "tool_use" => "tool_calls",
            "max_tokens" | "model_context_window_exceeded" => "length",
            "guardrail_intervened" | "content_filtered" => "content_filter",
            // No answer, and the next try may be one.
            "malformed_model_output" | "malformed_tool_use" => {
                return Err(Fault::interrupted(format!("the model broke off: {reason}")));
            }
            other => other,
        };
        assembly.metadata("stopReason", &Value::from(reason).to_string());
        let choice = Choice {
            role: Some("assistant".into()),
            finish_reason: Some(ours.into()),
            ..Choice::default()
        };
        assembly.choice(choice).map_err(Fault::malformed)
    }
}

impl ReadAnswer for Reader {
    fn event(&mut self, name: &[u8], data: &[u8], assembly: &mut Assembly) -> Result<Flow, Fault> {
        let unreadable = |error| Fault::unreadable("an event", data, &error);
        match name {
            b"contentBlockStart" | b"contentBlockDelta" | b"contentBlockStop" | b"messageStop" => {
                let event: Event<'_> = serde_json::from_slice(data).map_err(unreadable)?;
                let index = event.content_block_index;
                match (event.start, event.delta, event.stop_reason) {
                    (Some(start), ..) => {
                        if let Some(used) = read::<Content<'_>>(start)?.tool_use {
                            self.begin_call(index, &used, assembly)?;
                        }
                    }
                    (_, Some(delta), _) => self.grow(index, delta, assembly)?,
                    (.., Some(reason)) => {
                        if let Some(fields) = event.additional_model_response_fields {
                            assembly.metadata("additionalModelResponseFields", fields.get());
                        }
                        self.stop(&reason, assembly)?;
                    }
                    _ => self.end_block(index, assembly)?,
                }
                Ok(Flow::More)
            }
            b"metadata" => {
                beside(serde_json::from_slice(data).map_err(unreadable)?, assembly)?;
                Ok(Flow::Done)
            }
            _ => Ok(Flow::More),
        }
    }

    fn whole(&mut self, body: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
        let unreadable = |error| Fault::unreadable("an answer", body, &error);
        let mut fields: Fields<'_> = serde_json::from_slice(body).map_err(unreadable)?;
        let Some(output) = fields.remove("output") else {
            return Err(Fault::malformed("an answer without output"));
        };
        let reason = fields.remove("stopReason");
        beside(fields, assembly)?;
        let message = read::<Fields<'_>>(output)?.remove("message");
        let content = match message {
            Some(message) => read::<Fields<'_>>(message)?.remove("content"),
            None => None,
        };
        let blocks: Vec<&RawValue> = content.map_or(Ok(Vec::new()), read)?;
        for (index, block) in (0..).zip(blocks) {
            self.block(index, block, assembly)?;
        }
        match reason {
            Some(reason) => self.stop(&read::<String>(reason)?, assembly),
            None => Ok(()),
        }
    }

    fn error(&mut self, name: &[u8], data: &[u8]) -> Fault {
        refusal::exception(name, data)
    }
}

/// What was counted, and what else was said of the answer.
fn beside(mut fields: Fields<'_>, assembly: &mut Assembly) -> Result<(), Fault> {
    if let Some(report) = fields.remove("usage") {
        assembly.usage(&usage::report(read(report)?).to_string());
    }
    for (name, value) in fields {
        // Padding, which hides the lengths of texts from those who watch the line.
        if name != "p" {
            assembly.metadata(&name, value.get());
        }
    }
    Ok(())
}

fn arguments(at: u64, more: &str) -> OutputDelta {
    field(
        "tool_calls",
        json!([{"index": at, "function": {"arguments": more}}]),
    )
}

fn field(name: &str, value: Value) -> OutputDelta {
    OutputDelta {
        text: String::new(),
        delta: Map::from_iter([(name.to_owned(), value)]),
    }
}

fn say(assembly: &mut Assembly, delta: OutputDelta) -> Result<(), Fault> {
    let choice = Choice {
        role: Some("assistant".into()),
        delta,
        ..Choice::default()
    };
    assembly.choice(choice).map_err(Fault::malformed)
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Fault> {
    let json = raw.get();
    serde_json::from_str(json)
        .map_err(|error| Fault::unreadable("what it should be", json.as_bytes(), &error))
}
