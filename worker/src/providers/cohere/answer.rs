//! Reads an answer: its events, or the whole answer, which is read as if it had come in events.
//!
//! Text becomes text, thinking `reasoning_content`, the plan before calls `tool_plan`, a call an entry of `tool_calls`
//! counted from 0 (Cohere counts its calls together with other things), citations entries of `citations`. Events we do
//! not know are passed over. `message-end` is the last, and says why the model stopped; where that is because it
//! failed, the answer is broken.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::domain::OutputDelta;

use super::conversation::TOOL_PLAN;
use super::usage;
use crate::providers::ErrorKind;
use crate::providers::dialect::{Flow, ReadAnswer};
use crate::providers::wire::{Assembly, Choice, Fault};

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct ChatReader {
    /// Cohere's indexes of the calls, in the order they began.
    calls: Vec<u64>,
}

/// An event of any type.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    id: Option<String>,
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MessageDelta<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

/// A message, or more of one. Each field is one object in events and a list of them in a whole answer.
#[derive(Deserialize)]
struct Message<'a> {
    /// Also a string.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    tool_plan: Option<String>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ContentPart {
    text: Option<String>,
    thinking: Option<String>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: Option<String>,
    function: Option<ToolFunction>,
}

#[derive(Deserialize)]
struct ToolFunction {
    name: Option<String>,
    arguments: Option<String>,
}

/// How an answer ended: in an event's `delta`, or beside the message of a whole answer.
#[derive(Deserialize)]
struct End<'a> {
    finish_reason: Option<String>,
    error: Option<String>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl ChatReader {
    fn message(&mut self, index: u64, message: Message<'_>, assembly: &mut Assembly) -> Result<(), Fault> {
        match message.content {
            None => {}
            Some(text) if text.get().starts_with('"') => {
                say(assembly, OutputDelta::text(parse::<String>(text.get())?))?;
            }
            Some(parts) => {
                for part in one_or_many::<ContentPart>(parts)? {
                    if let Some(thinking) = part.thinking.filter(|thinking| !thinking.is_empty()) {
                        field(assembly, "reasoning_content", Value::String(thinking))?;
                    }
                    say(assembly, OutputDelta::text(part.text.unwrap_or_default()))?;
                }
            }
        }
        if let Some(plan) = message.tool_plan.filter(|plan| !plan.is_empty()) {
            field(assembly, TOOL_PLAN, Value::String(plan))?;
        }
        if let Some(calls) = message.tool_calls {
            for (at, call) in (0..).zip(one_or_many(calls)?) {
                self.call(index.saturating_add(at), call, assembly)?;
            }
        }
        if let Some(citations) = message.citations {
            let citations: Vec<Value> = one_or_many(citations)?;
            if !citations.is_empty() {
                field(assembly, "citations", Value::Array(citations))?;
            }
        }
        Ok(())
    }

    /// A call begins, or there is more of its arguments.
    fn call(&mut self, index: u64, call: ToolCall, assembly: &mut Assembly) -> Result<(), Fault> {
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        let known = self.calls.iter().position(|known| *known == index);
        let written = match (known, call.id) {
            (Some(at), None) => {
                json!({"index": at, "function": {"arguments": arguments.unwrap_or_default()}})
            }
            (_, id) => {
                self.calls.push(index);
                let function = json!({"name": name, "arguments": arguments.unwrap_or_default()});
                json!({"index": self.calls.len() - 1, "id": id, "type": "function", "function": function})
            }
        };
        field(assembly, "tool_calls", json!([written]))
    }

    fn end_message(end: End<'_>, assembly: &mut Assembly) -> Result<(), Fault> {
        if let Some(usage) = end.usage {
            usage::take(usage.get(), assembly);
        }
        let Some(reason) = end.finish_reason else {
            return Ok(());
        };
        let why = end.error.unwrap_or_else(|| format!("it stopped with {reason}"));
        let finish_reason = match reason.as_str() {
            "COMPLETE" | "STOP_SEQUENCE" => "stop".to_owned(),
            "MAX_TOKENS" | "ERROR_LIMIT" => "length".to_owned(),
            "TOOL_CALL" => "tool_calls".to_owned(),
            "ERROR_TOXIC" => "content_filter".to_owned(),
            "ERROR" => return Err(failed(500, &why)),
            "TIMEOUT" => return Err(failed(504, &why)),
            _ => reason,
        };
        let finish_reason = Some(Cow::Owned(finish_reason));
        assembly
            .choice(Choice {
                finish_reason,
                ..Choice::default()
            })
            .map_err(Fault::malformed)
    }
}

impl ReadAnswer for ChatReader {
    fn event(&mut self, _name: &[u8], data: &[u8], assembly: &mut Assembly) -> Result<Flow, Fault> {
        if data == b"[DONE]" {
            return Ok(Flow::Done);
        }
        let event: Event<'_> =
            serde_json::from_slice(data).map_err(|error| Fault::unreadable("an event", data, &error))?;
        match (&*event.kind, event.delta) {
            ("message-start", _) => begin(event.id.as_deref(), assembly)?,
            (
                "content-start" | "content-delta" | "tool-plan-delta" | "tool-call-start" | "tool-call-delta"
                | "citation-start",
                Some(delta),
            ) => {
                let delta: MessageDelta<'_> = parse(delta.get())?;
                if let Some(message) = delta.message {
                    self.message(event.index.unwrap_or_default(), message, assembly)?;
                }
            }
            ("message-end", delta) => {
                if let Some(delta) = delta {
                    Self::end_message(parse(delta.get())?, assembly)?;
                }
                return Ok(Flow::Done);
            }
            _ => {}
        }
        Ok(Flow::More)
    }

    fn whole(&mut self, body: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(body).map_err(|error| Fault::unreadable("an answer", body, &error))?;
        for (name, value) in &fields {
            if !matches!(&**name, "id" | "message" | "finish_reason" | "usage") {
                assembly.metadata(name, value.get());
            }
        }
        let id: Option<String> = fields.get("id").map_or(Ok(None), |id| parse(id.get()))?;
        begin(id.as_deref(), assembly)?;
        if let Some(message) = fields.get("message") {
            self.message(0, parse(message.get())?, assembly)?;
        }
        let end =
            serde_json::from_slice(body).map_err(|error| Fault::unreadable("an answer", body, &error))?;
        Self::end_message(end, assembly)
    }
}

fn begin(id: Option<&str>, assembly: &mut Assembly) -> Result<(), Fault> {
    if let Some(id) = id {
        assembly.metadata("id", &json!(id).to_string());
    }
    let role = Some(Cow::Borrowed("assistant"));
    assembly
        .choice(Choice {
            role,
            ..Choice::default()
        })
        .map_err(Fault::malformed)
}

/// It failed in the middle of its answer.
fn failed(status: u16, why: &str) -> Fault {
    let kind = ErrorKind::Server {
        status,
        retry_after: None,
    };
    Fault::new(kind, "it reported an error in place of an answer").noting(why)
}

fn field(assembly: &mut Assembly, name: &str, value: Value) -> Result<(), Fault> {
    let mut delta = OutputDelta::default();
    delta.delta.insert(name.to_owned(), value);
    say(assembly, delta)
}

fn say(assembly: &mut Assembly, delta: OutputDelta) -> Result<(), Fault> {
    let choice = Choice {
        delta,
        ..Choice::default()
    };
    assembly.choice(choice).map_err(Fault::malformed)
}

fn one_or_many<'j, T: Deserialize<'j>>(json: &'j RawValue) -> Result<Vec<T>, Fault> {
    let json = json.get();
    if json.starts_with('[') {
        parse(json)
    } else {
        parse(json).map(|one| vec![one])
    }
}

/// Parses a part of an event, which is JSON already.
fn parse<'j, T: Deserialize<'j>>(json: &'j str) -> Result<T, Fault> {
    serde_json::from_str(json)
        .map_err(|error| Fault::unreadable("what it should be", json.as_bytes(), &error))
}
