//! The grammar of one event. What is not looked at is not parsed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What is read of events.
const EVENTS: [&str; 7] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
];
/// What is read of deltas.
const DELTAS: [&str; 5] = [
    "text_delta",
    "thinking_delta",
    "signature_delta",
    "input_json_delta",
    "citations_delta",
];

/// An event of any type; every field but the type belongs to some types only.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(super) kind: Cow<'a, str>,
    /// Of a block.
    pub(super) index: Option<u64>,
    /// A change of a block or of the message.
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
}

/// More of a block, of any type.
#[derive(Deserialize)]
pub(super) struct BlockDelta<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(super) kind: Cow<'a, str>,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) partial_json: Option<String>,
    #[serde(default)]
    pub(super) citation: Value,
}

/// Only the type.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
}

impl<'a> Event<'a> {
    /// Reads an event; none where it is not of a type we know, and says things in a way we do not.
    pub(super) fn read(json: &'a [u8]) -> Result<Option<Self>, serde_json::Error> {
        of_known_type(json, &EVENTS)
    }
}

impl<'a> BlockDelta<'a> {
    /// Reads more of a block; none where it is not of a type we know, and says things in a way we do not.
    pub(super) fn read(json: &'a RawValue) -> Result<Option<Self>, serde_json::Error> {
        of_known_type(json.get().as_bytes(), &DELTAS)
    }
}

fn of_known_type<'a, T: Deserialize<'a>>(
    json: &'a [u8],
    known: &[&str],
) -> Result<Option<T>, serde_json::Error> {
    serde_json::from_slice(json)
        .map(Some)
        .or_else(|error| match serde_json::from_slice::<Typed<'_>>(json) {
            Ok(Typed { kind }) if !known.contains(&&*kind) => Ok(None),
            _ => Err(error),
        })
}
