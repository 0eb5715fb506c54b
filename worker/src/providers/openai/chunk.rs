//! The grammar of one chunk (`chat.completion.chunk`) or whole answer (`chat.completion`): each JSON text is read
//! once, straight into the [`Assembly`], and what the hot path does not need is not allocated. What the parts mean
//! over a whole answer is the assembly's business.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::domain::OutputDelta;

use super::assembly::Assembly;

/// One entry of `choices`, from a stream (`delta`) or a whole answer (`message`).
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    pub(super) index: u32,
    pub(super) role: Option<Cow<'a, str>>,
    /// Everything else of the delta; nulls left out.
    pub(super) delta: OutputDelta,
    /// What stood beside the delta; nulls left out.
    pub(super) beside: Map<String, Value>,
    pub(super) finish_reason: Option<Cow<'a, str>>,
}

/// What a chunk turned out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Chunk {
    /// A part of the answer, now in the assembly.
    Part,
    /// The provider reports an error: the value of `error`, or the whole object where it says it is one.
    Error(Value),
}

/// Reads one chunk into the assembly. On an error the assembly may hold a part of the chunk.
pub(super) fn read(text: &str, assembly: &mut Assembly) -> Result<Chunk, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let seen = ChunkSeed(assembly).deserialize(&mut json)?;
    json.end()?;
    match seen {
        Seen {
            error: Some(error), ..
        } => Ok(Chunk::Error(error)),
        Seen { is_error: true, .. } => serde_json::from_str(text).map(Chunk::Error),
        Seen { .. } => Ok(Chunk::Part),
    }
}

#[derive(Default)]
struct Seen {
    error: Option<Value>,
    /// `"object": "error"`, the older form of vLLM and its relatives.
    is_error: bool,
}

struct ChunkSeed<'a>(&'a mut Assembly);

impl<'de> DeserializeSeed<'de> for ChunkSeed<'_> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ChunkSeed<'_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chat completion object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut seen = Seen::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "choices" => map.next_value_seed(ChoicesSeed(self.0))?,
                "usage" => self.0.usage(map.next_value::<&RawValue>()?.get()),
                "error" => seen.error = map.next_value::<Option<Value>>()?,
                "object" => seen.is_error = map.next_value::<&RawValue>()?.get() == "\"error\"",
                // Padding that OpenAI adds to each chunk to hide token lengths from those who watch the line.
                "obfuscation" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => self.0.metadata(&key, map.next_value::<&RawValue>()?.get()),
            }
        }
        Ok(seen)
    }
}

struct ChoicesSeed<'a>(&'a mut Assembly);

impl<'de> DeserializeSeed<'de> for ChoicesSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ChoicesSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(choice) = seq.next_element()? {
            self.0.choice(choice).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Choice<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ChoiceVisitor)
    }
}

struct ChoiceVisitor;

impl<'de> Visitor<'de> for ChoiceVisitor {
    type Value = Choice<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a choice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choice<'de>, A::Error> {
        let mut choice = Choice::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "index" => choice.index = map.next_value::<Option<u32>>()?.unwrap_or_default(),
                "delta" | "message" => {
                    if let Some(Delta { role, output }) = map.next_value::<Option<Delta<'de>>>()? {
                        choice.role = role;
                        choice.delta = output;
                    }
                }
                "finish_reason" => {
                    choice.finish_reason = map.next_value::<Option<Text<'de>>>()?.map(|Text(reason)| reason);
                }
                _ => keep(&mut choice.beside, key, map.next_value()?),
            }
        }
        Ok(choice)
    }
}

#[derive(Default)]
struct Delta<'a> {
    role: Option<Cow<'a, str>>,
    output: OutputDelta,
}

impl<'de> Deserialize<'de> for Delta<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DeltaVisitor)
    }
}

struct DeltaVisitor;

impl<'de> Visitor<'de> for DeltaVisitor {
    type Value = Delta<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delta or message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta<'de>, A::Error> {
        let mut delta = Delta::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "content" => match map.next_value()? {
                    Value::String(text) => delta.output.text = text,
                    other => keep(&mut delta.output.delta, key, other),
                },
                "role" => delta.role = map.next_value::<Option<Text<'de>>>()?.map(|Text(role)| role),
                _ => keep(&mut delta.output.delta, key, map.next_value()?),
            }
        }
        Ok(delta)
    }
}

fn keep(fields: &mut Map<String, Value>, key: Cow<'_, str>, value: Value) {
    if !value.is_null() {
        fields.insert(key.into_owned(), value);
    }
}

/// A string that stays where it is unless it has escapes in it. (serde's own `Cow` always copies.)
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}
