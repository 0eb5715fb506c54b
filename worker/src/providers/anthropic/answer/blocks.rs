//! The blocks that have begun and not ended, and what each becomes.

use serde_json::{Map, Value, json};

use super::super::conversation::THINKING_BLOCKS;

/// A block on its way.
#[derive(Debug)]
pub(super) enum Block {
    /// A call of a tool.
    Call {
        /// Its place among the calls.
        at: u64,
        /// Whether any of its arguments have been said.
        said: bool,
    },
    /// The call whose arguments are the answer.
    Answer,
    /// Thinking. Kept until it is signed.
    Thought {
        /// Its place among the blocks of thinking.
        at: u64,
        text: String,
        signature: String,
    },
}

/// What there is to say when a block begins.
#[derive(Debug)]
pub(super) enum Begun {
    Text {
        text: String,
        /// The places it cites, in a whole answer.
        citations: Option<Value>,
    },
    Thought(String),
    /// A field of the delta.
    Delta(&'static str, Value),
    Nothing,
}

/// The open blocks, by index.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: Vec<(u64, Block)>,
    calls: u64,
    thoughts: u64,
    others: u64,
}

impl Blocks {
    /// A block begins; `answer_tool` is the tool whose arguments are the answer.
    pub(super) fn begin(
        &mut self,
        index: u64,
        mut fields: Map<String, Value>,
        answer_tool: Option<&str>,
    ) -> Begun {
        let text = |fields: &mut Map<String, Value>, name: &str| match fields.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let kind = text(&mut fields, "type");
        match kind.as_str() {
            "text" => Begun::Text {
                text: text(&mut fields, "text"),
                citations: fields
                    .remove("citations")
                    .filter(|cited| cited != &json!([]) && !cited.is_null()),
            },
            "tool_use" => {
                let input = match fields.remove("input") {
                    Some(Value::Object(input)) if !input.is_empty() => Value::Object(input).to_string(),
                    _ => String::new(),
                };
                let name = text(&mut fields, "name");
                if answer_tool == Some(name.as_str()) {
                    self.open.push((index, Block::Answer));
                    return Begun::Text {
                        text: input,
                        citations: None,
                    };
                }
                let at = self.calls;
                self.calls += 1;
                let said = !input.is_empty();
                self.open.push((index, Block::Call { at, said }));
                let function = json!({"name": name, "arguments": input});
                let id = text(&mut fields, "id");
                let call = json!({"index": at, "id": id, "type": "function", "function": function});
                Begun::Delta("tool_calls", json!([call]))
            }
            "thinking" => {
                let at = self.thoughts;
                self.thoughts += 1;
                let thought = text(&mut fields, "thinking");
                let begun = Block::Thought {
                    at,
                    text: thought.clone(),
                    signature: text(&mut fields, "signature"),
                };
                self.open.push((index, begun));
                if thought.is_empty() {
                    Begun::Nothing
                } else {
                    Begun::Thought(thought)
                }
            }
            "redacted_thinking" => {
                let at = self.thoughts;
                self.thoughts += 1;
                Begun::Delta(THINKING_BLOCKS, numbered(at, kind, fields))
            }
            _ => {
                let at = self.others;
                self.others += 1;
                Begun::Delta("content_blocks", numbered(at, kind, fields))
            }
        }
    }

    /// The open block of this index.
    pub(super) fn at(&mut self, index: u64) -> Option<&mut Block> {
        let mut open = self.open.iter_mut();
        open.find(|(known, _)| *known == index).map(|(_, block)| block)
    }

    /// A block ends.
    pub(super) fn end(&mut self, index: u64) -> Option<Block> {
        let at = self.open.iter().position(|(known, _)| *known == index)?;
        Some(self.open.swap_remove(at).1)
    }
}

/// More arguments of the call at this place.
pub(super) fn arguments(at: u64, more: String) -> Value {
    // Not by a macro, which would copy the text: this is done for every fragment.
    let function = Map::from_iter([("arguments".to_owned(), Value::String(more))]);
    let call = Map::from_iter([
        ("index".to_owned(), Value::from(at)),
        ("function".to_owned(), Value::Object(function)),
    ]);
    Value::Array(vec![Value::Object(call)])
}

fn numbered(at: u64, kind: String, mut fields: Map<String, Value>) -> Value {
    fields.insert("index".to_owned(), json!(at));
    fields.insert("type".to_owned(), Value::String(kind));
    json!([fields])
}
