//! Reads an answer: its events, or the whole message, which is read as if it had come in events.
//!
//! A message is a list of blocks, which the events address by index. Text becomes text; a `tool_use` an entry of
//! `tool_calls`, counted from 0 on their own; thinking `reasoning_content` as it comes, and an entry of
//! `thinking_blocks` once it is signed; a block we do not know an entry of `content_blocks`, as it began. Events and
//! deltas we do not know are passed over. `message_stop` is the end; a reason to stop has come before it.

mod blocks;
mod event;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use shared::domain::OutputDelta;

use self::blocks::{Begun, Block, Blocks};
use self::event::{BlockDelta, Event};
use super::conversation::THINKING_BLOCKS;
use super::structure::ANSWER_TOOL;
use super::usage::Tally;
use crate::providers::canonical::Unsent;
use crate::providers::dialect::{Flow, ReadAnswer};
use crate::providers::wire::{Assembly, Choice, Fault};

/// Reads one answer.
#[derive(Debug)]
pub(super) struct MessageReader {
    /// The arguments of one tool are the answer.
    by_tool: bool,
    /// White space at the end of what the answer began with: Anthropic refuses it there.
    unsent: Unsent,
    blocks: Blocks,
    usage: Tally,
}

impl MessageReader {
    /// For an answer that has begun with `beginning`, if with anything.
    pub(super) fn new(by_tool: bool, beginning: Option<&str>) -> Self {
        let (_, unsent) = Unsent::split(beginning.unwrap_or_default());
        Self {
            by_tool,
            unsent,
            blocks: Blocks::default(),
            usage: Tally::default(),
        }
    }

    fn start(&mut self, message: &RawValue, assembly: &mut Assembly) -> Result<(), Fault> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = parse(message.get())?;
        for (name, value) in fields {
            match &*name {
                "type" | "role" | "content" | "stop_reason" => {}
                "usage" => self.usage.take(value.get(), assembly),
                name => assembly.metadata(name, value.get()),
            }
        }
        let role = Some(Cow::Borrowed("assistant"));
        say(
            assembly,
            Choice {
                role,
                ..Choice::default()
            },
        )
    }

    fn begin_block(&mut self, index: u64, block: &RawValue, assembly: &mut Assembly) -> Result<(), Fault> {
        let Value::Object(fields) = parse(block.get())? else {
            return Err(Fault::malformed("a block that is no object"));
        };
        match self
            .blocks
            .begin(index, fields, self.by_tool.then_some(ANSWER_TOOL))
        {
            Begun::Text { text, citations } => {
                self.text(text, assembly)?;
                citations.map_or(Ok(()), |cited| delta(assembly, "citations", cited))
            }
            Begun::Delta(name, value) => delta(assembly, name, value),
            Begun::Thought(text) => delta(assembly, "reasoning_content", Value::String(text)),
            Begun::Nothing => Ok(()),
        }
    }

    fn grow_block(
        &mut self,
        index: u64,
        grown: BlockDelta<'_>,
        assembly: &mut Assembly,
    ) -> Result<(), Fault> {
        match (&*grown.kind, self.blocks.at(index)) {
            ("text_delta", _) => self.text(grown.text.unwrap_or_default(), assembly),
            ("thinking_delta", block) => {
                let thinking = grown.thinking.unwrap_or_default();
                if let Some(Block::Thought { text, .. }) = block {
                    text.push_str(&thinking);
                }
                if thinking.is_empty() {
                    return Ok(());
                }
                delta(assembly, "reasoning_content", Value::String(thinking))
            }
            ("signature_delta", Some(Block::Thought { signature, .. })) => {
                signature.push_str(&grown.signature.unwrap_or_default());
                Ok(())
            }
            ("input_json_delta", Some(Block::Answer)) => {
                self.text(grown.partial_json.unwrap_or_default(), assembly)
            }
            ("input_json_delta", Some(Block::Call { at, said })) => {
                let Some(more) = grown.partial_json.filter(|more| !more.is_empty()) else {
                    return Ok(());
                };
                *said = true;
                delta(assembly, "tool_calls", blocks::arguments(*at, more))
            }
            ("citations_delta", _) => delta(assembly, "citations", json!([grown.citation])),
            _ => Ok(()),
        }
    }

    fn end_block(&mut self, index: u64, assembly: &mut Assembly) -> Result<(), Fault> {
        match self.blocks.end(index) {
            // OpenAI's arguments are JSON even where there are none.
            Some(Block::Call { at, said: false }) => {
                delta(assembly, "tool_calls", blocks::arguments(at, "{}".to_owned()))
            }
            Some(Block::Thought { at, text, signature }) if !signature.is_empty() => {
                let block =
                    json!({"index": at, "type": "thinking", "thinking": text, "signature": signature});
                delta(assembly, THINKING_BLOCKS, json!([block]))
            }
            _ => Ok(()),
        }
    }

    /// What is said of the whole message once it is there: why it ended, and more.
    fn conclude(&self, changes: &RawValue, assembly: &mut Assembly) -> Result<(), Fault> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = parse(changes.get())?;
        for (name, value) in &fields {
            assembly.metadata(name, value.get());
        }
        let reason = fields
            .get("stop_reason")
            .map(|reason| parse::<Option<String>>(reason.get()));
        let Some(Some(reason)) = reason.transpose()? else {
            return Ok(());
        };
        say(
            assembly,
            Choice {
                finish_reason: Some(Cow::Owned(self.reason(reason))),
                ..Choice::default()
            },
        )
    }

    /// OpenAI's word for why it stopped; one we do not know stays. `stop_reason` keeps Anthropic's.
    fn reason(&self, reason: String) -> String {
        match reason.as_str() {
            "end_turn" | "stop_sequence" => "stop".to_owned(),
            "tool_use" if self.by_tool => "stop".to_owned(),
            "tool_use" => "tool_calls".to_owned(),
            "max_tokens" | "model_context_window_exceeded" => "length".to_owned(),
            "refusal" => "content_filter".to_owned(),
            _ => reason,
        }
    }

    fn text(&mut self, text: String, assembly: &mut Assembly) -> Result<(), Fault> {
        say(
            assembly,
            Choice {
                delta: OutputDelta::text(self.unsent.take_off(text)),
                ..Choice::default()
            },
        )
    }
}

impl ReadAnswer for MessageReader {
    fn event(&mut self, _name: &[u8], data: &[u8], assembly: &mut Assembly) -> Result<Flow, Fault> {
        let event = Event::read(data).map_err(|error| Fault::unreadable("an event", data, &error))?;
        let Some(event) = event else {
            return Ok(Flow::More);
        };
        let index = event.index.unwrap_or_default();
        match (&*event.kind, event.message, event.content_block, event.delta) {
            ("message_start", Some(message), ..) => self.start(message, assembly)?,
            ("content_block_start", _, Some(block), _) => self.begin_block(index, block, assembly)?,
            ("content_block_delta", .., Some(grown)) => {
                let read = BlockDelta::read(grown);
                let read = read.map_err(|error| Fault::unreadable("a delta", data, &error))?;
                if let Some(grown) = read {
                    self.grow_block(index, grown, assembly)?;
                }
            }
            ("content_block_stop", ..) => self.end_block(index, assembly)?,
            ("message_delta", .., changes) => {
                if let Some(usage) = event.usage {
                    self.usage.take(usage.get(), assembly);
                }
                if let Some(changes) = changes {
                    self.conclude(changes, assembly)?;
                }
            }
            ("message_stop", ..) => return Ok(Flow::Done),
            ("error", ..) => return Err(self.error(b"error", data)),
            _ => {}
        }
        Ok(Flow::More)
    }

    fn whole(&mut self, body: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
        let unreadable = |error| Fault::unreadable("a message", body, &error);
        let message: &RawValue = serde_json::from_slice(body).map_err(unreadable)?;
        let fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(message.get()).map_err(unreadable)?;
        if fields.contains_key("error") {
            return Err(self.error(b"error", body));
        }
        self.start(message, assembly)?;
        let content: Vec<&RawValue> = fields
            .get("content")
            .map_or(Ok(Vec::new()), |list| parse(list.get()))?;
        for (index, block) in (0..).zip(content) {
            self.begin_block(index, block, assembly)?;
            self.end_block(index, assembly)?;
        }
        let Some(reason) = fields.get("stop_reason") else {
            return Ok(());
        };
        let changes = Map::from_iter([("stop_reason".to_owned(), parse(reason.get())?)]);
        let changes = serde_json::value::to_raw_value(&changes).map_err(unreadable)?;
        self.conclude(&changes, assembly)
    }
}

fn delta(assembly: &mut Assembly, name: &str, value: Value) -> Result<(), Fault> {
    let mut delta = OutputDelta::default();
    delta.delta.insert(name.to_owned(), value);
    say(
        assembly,
        Choice {
            delta,
            ..Choice::default()
        },
    )
}

fn say(assembly: &mut Assembly, choice: Choice<'_>) -> Result<(), Fault> {
    assembly.choice(choice).map_err(Fault::malformed)
}

/// Parses a part of an event, which is JSON already.
fn parse<'j, T: serde::Deserialize<'j>>(json: &'j str) -> Result<T, Fault> {
    serde_json::from_str(json)
        .map_err(|error| Fault::unreadable("what it should be", json.as_bytes(), &error))
}
