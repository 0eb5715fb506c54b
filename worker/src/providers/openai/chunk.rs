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

use crate::providers::wire::{Assembly, Choice};

/// What a chunk turned out to be.
#[derive(Debug, PartialEq)]
pub(in crate::providers) enum Chunk {
    /// A part of the answer, now in the assembly.
    Part,
    /// The provider reports an error: the value of `error`, or the whole object where it says it is one.
    Error(Value),
}

/// Reads one chunk into the assembly. On an error the assembly may hold a part of the chunk.
///
/// The usage is read in the usual place and in the two others where servers put it: `x_groq.usage` (Groq) and the
/// entries of `choices` (Moonshot).
pub(in crate::providers) fn read(text: &str, assembly: &mut Assembly) -> Result<Chunk, serde_json::Error> {
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

/// An object that may have the usage in it.
#[derive(Deserialize)]
struct UsageWithin<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
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
                _ => {
                    let value = map.next_value::<&RawValue>()?.get();
                    if key == "x_groq"
                        && let Ok(UsageWithin { usage: Some(usage) }) = serde_json::from_str(value)
                    {
                        self.0.usage(usage.get());
                    }
                    // Azure's annotations come in chunks that were created at no time by no model.
                    if key != "created" || value != "0" {
                        self.0.metadata(&key, value);
                    }
                }
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
        while let Some(mut choice) = seq.next_element::<Choice<'_>>()? {
            if let Some(usage) = choice.beside.remove("usage") {
                self.0.usage(&usage.to_string());
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usage_of(chunk: &Value) -> Option<u64> {
        let mut assembly = Assembly::new(1);
        read(&chunk.to_string(), &mut assembly).unwrap();
        assembly.reported_usage().map(|usage| usage.output_tokens)
    }

    #[test]
    fn usage_is_read_wherever_servers_put_it() {
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 5});
        let usual = json!({"choices": [], "usage": usage});
        let groq = json!({"choices": [], "x_groq": {"id": "req-1", "usage": usage}});
        let moonshot =
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]});
        for chunk in [usual, groq, moonshot] {
            assert_eq!(usage_of(&chunk), Some(5), "{chunk}");
        }
        for without in [
            json!({"x_groq": {"id": "req-1"}}),
            json!({"x_groq": null}),
            json!({"x_groq": 7}),
        ] {
            assert_eq!(usage_of(&without), None, "{without}");
        }
    }

    #[test]
    fn an_annotation_takes_nothing_back() {
        let mut assembly = Assembly::new(1);
        let chunk = json!({"id": "c", "created": 7, "model": "m", "choices": []});
        // As Azure's asynchronous filter writes it, here as the last before the end.
        let annotation = json!({"id": "", "object": "", "created": 0, "model": "", "choices": []});
        for json in [chunk, annotation] {
            read(&json.to_string(), &mut assembly).unwrap();
        }
        let said = serde_json::to_value(assembly.reported_metadata()).unwrap();
        assert_eq!(said, json!({"id": "c", "created": 7, "model": "m"}));
    }
}
