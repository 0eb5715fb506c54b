//! Pieces of an answer and how they add up.
//!
//! The text is one field; everything else a provider puts into a delta (role, tool calls, reasoning, fields we do
//! not know) is kept in `delta` and added up by the rule of OpenAI's own SDK (`accumulate_delta` in openai-python):
//! strings are joined, numbers added, objects merged, lists merged by each item's `index`; `index` and `type` stay.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Data of `output.delta`: a piece of the answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OutputDelta {
    /// More text; may be empty.
    pub text: String,
    /// Everything else of the provider's delta.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub delta: Map<String, Value>,
}

impl OutputDelta {
    /// A piece of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            delta: Map::new(),
        }
    }

    /// From a provider's delta object: its `content`, when that is a string, becomes the text.
    #[must_use]
    pub fn from_provider(mut delta: Map<String, Value>) -> Self {
        let text = match delta.remove("content") {
            Some(Value::String(text)) => text,
            Some(Value::Null) | None => String::new(),
            Some(other) => {
                delta.insert("content".to_owned(), other);
                String::new()
            }
        };
        delta.retain(|_, value| !value.is_null());
        Self { text, delta }
    }

    /// Whether a reader could notice it. A role alone is nothing to see.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        !self.text.is_empty()
            || self
                .delta
                .iter()
                .any(|(key, value)| key != "role" && value.as_str() != Some(""))
    }

    /// Adds the piece that comes after this one.
    pub fn absorb(&mut self, next: Self) {
        self.text.push_str(&next.text);
        merge_objects(&mut self.delta, next.delta);
    }

    /// Bytes it weighs in memory, roughly: what the caps count.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.text.len()
            + self
                .delta
                .iter()
                .map(|(key, value)| key.len() + value_weight(value))
                .sum::<usize>()
    }
}

fn value_weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 8,
        Value::Array(items) => 8 + items.iter().map(value_weight).sum::<usize>(),
        Value::Object(fields) => {
            8 + fields
                .iter()
                .map(|(key, value)| key.len() + value_weight(value))
                .sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn merge_objects(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match into.get_mut(&key) {
            None | Some(Value::Null) => {
                into.insert(key, value);
            }
            Some(_) if key == "index" || key == "type" || key == "role" => {}
            Some(present) => merge(present, value),
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (_, Value::Null) => {}
        (Value::String(text), Value::String(more)) => text.push_str(&more),
        (Value::Object(fields), Value::Object(more)) => merge_objects(fields, more),
        (Value::Array(items), Value::Array(more)) => {
            more.into_iter().for_each(|item| merge_item(items, item));
        }
        (into @ Value::Number(_), Value::Number(more)) => {
            let sum = match (into.as_i64(), more.as_i64()) {
                (Some(a), Some(b)) => a.checked_add(b).map(Value::from),
                _ => into.as_f64().zip(more.as_f64()).map(|(a, b)| Value::from(a + b)),
            };
            *into = sum.unwrap_or(Value::Number(more));
        }
        (into, other) => *into = other,
    }
}

fn merge_item(items: &mut Vec<Value>, item: Value) {
    let index = item.get("index").and_then(Value::as_u64);
    let same =
        |present: &&mut Value| index.is_some() && present.get("index").and_then(Value::as_u64) == index;
    match items.iter_mut().find(same) {
        Some(present) => merge(present, item),
        None => items.push(item),
    }
}

/// A whole answer, added up from its pieces.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Everything else the provider sent, added up: role, tool calls, reasoning, unknown fields.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub message: Map<String, Value>,
    /// What the provider said beside the answer; known once it is complete.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: Map<String, Value>,
}

impl Answer {
    /// Adds a piece.
    pub fn push(&mut self, piece: &OutputDelta) {
        self.text.push_str(&piece.text);
        if !piece.delta.is_empty() {
            merge_objects(&mut self.message, piece.delta.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delta(value: Value) -> OutputDelta {
        let Value::Object(fields) = value else {
            panic!("an object")
        };
        OutputDelta::from_provider(fields)
    }

    #[test]
    fn tool_calls_add_up_by_index() {
        let mut answer = Answer::default();
        for piece in [
            json!({"role": "assistant", "content": null}),
            json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]}),
            json!({"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        ] {
            answer.push(&delta(piece));
        }
        let calls = &answer.message["tool_calls"];
        assert_eq!(calls[0]["function"]["arguments"], "{\"a\":1}");
        assert_eq!(calls[0]["type"], "function");
        assert_eq!(calls[1]["id"], "c2");
        assert_eq!(answer.message["role"], "assistant");
    }

    #[test]
    fn absorbing_is_the_same_as_pushing_one_by_one() {
        let pieces = [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "Hel"}),
            json!({"content": "lo", "reasoning_content": "th"}),
            json!({"reasoning_content": "ink", "x_vendor": {"n": 1}}),
            json!({"x_vendor": {"n": 2, "list": [1]}}),
        ];
        let mut one_by_one = Answer::default();
        let mut together = OutputDelta::default();
        for piece in pieces {
            one_by_one.push(&delta(piece.clone()));
            together.absorb(delta(piece));
        }
        let mut absorbed = Answer::default();
        absorbed.push(&together);
        assert_eq!(absorbed, one_by_one);
        assert_eq!(absorbed.text, "Hello");
        assert_eq!(absorbed.message["reasoning_content"], "think");
        assert_eq!(absorbed.message["x_vendor"]["n"], 3);
    }

    #[test]
    fn a_role_alone_is_not_visible() {
        assert!(!delta(json!({"role": "assistant", "content": ""})).is_visible());
        assert!(!delta(json!({"role": "assistant", "refusal": null})).is_visible());
        assert!(delta(json!({"content": "x"})).is_visible());
        assert!(delta(json!({"tool_calls": []})).is_visible());
    }

    #[test]
    fn content_that_is_not_text_survives() {
        let piece = delta(json!({"content": [{"type": "text", "text": "x"}]}));
        assert_eq!(piece.delta["content"][0]["text"], "x");
    }
}
