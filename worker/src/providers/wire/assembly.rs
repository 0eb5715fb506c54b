//! What the parts of an answer mean together: which pieces to hand on, whether it is complete, what it used, what was
//! said about it. Grows with nothing but pieces not yet taken; everything it keeps has a bound.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use async_openai::types::chat::FinishReason;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::domain::OutputDelta;

use crate::providers::{ChatPiece, Usage};

/// As many as OpenAI accepts for `n`.
const MOST_CHOICES: usize = 128;
/// Unknown fields beside the choices that are kept, and the bytes all of them may weigh.
const MOST_FIELDS: usize = 32;
const MOST_FIELD_BYTES: usize = 16 * 1024;
/// A usage report is a dozen numbers.
const MOST_USAGE_BYTES: usize = 16 * 1024;

/// A part of one answer: an entry of `choices` in OpenAI's terms, from a stream (`delta`) or a whole answer
/// (`message`). Dialects that know one answer leave `index` at 0.
#[derive(Debug, Default)]
pub(in crate::providers) struct Choice<'a> {
    /// Which of the answers.
    pub(in crate::providers) index: u32,
    /// Who speaks: `assistant`.
    pub(in crate::providers) role: Option<Cow<'a, str>>,
    /// Everything else of the delta: text, and the fields OpenAI has for the rest (`tool_calls` with dense indexes,
    /// `reasoning_content`, `refusal`); nulls left out.
    pub(in crate::providers) delta: OutputDelta,
    /// What stood beside the delta; nulls left out.
    pub(in crate::providers) beside: Map<String, Value>,
    /// Why the answer ends here: `stop`, `length`, `tool_calls`, `content_filter`.
    pub(in crate::providers) finish_reason: Option<Cow<'a, str>>,
}

/// An answer in the making.
#[derive(Debug)]
pub(in crate::providers) struct Assembly {
    expected: usize,
    pieces: VecDeque<ChatPiece>,
    choices: Vec<Progress>,
    /// The last report as JSON text; some providers send one with each chunk, so it is parsed only once asked for.
    usage: String,
    /// JSON texts by name, few enough to search.
    metadata: Vec<(String, String)>,
}

/// How far one of the answers is.
#[derive(Debug, Default)]
struct Progress {
    index: u32,
    role_said: bool,
    visible: bool,
    finished: bool,
    /// It may be finished with nothing in it: cut at the limit, or withheld.
    may_be_empty: bool,
}

impl Assembly {
    /// For a call that asks for so many answers.
    pub(in crate::providers) fn new(expected: usize) -> Self {
        Self {
            expected,
            pieces: VecDeque::new(),
            choices: Vec::with_capacity(1),
            usage: String::new(),
            metadata: Vec::new(),
        }
    }

    /// Takes one entry of `choices`.
    pub(in crate::providers) fn choice(&mut self, choice: Choice<'_>) -> Result<(), &'static str> {
        let Choice {
            index,
            role,
            mut delta,
            beside,
            finish_reason,
        } = choice;
        let progress = match self.choices.iter().position(|known| known.index == index) {
            Some(at) => &mut self.choices[at],
            None if self.choices.len() == MOST_CHOICES => return Err("more choices than may be asked for"),
            None => {
                self.choices.push(Progress {
                    index,
                    ..Progress::default()
                });
                let last = self.choices.len() - 1;
                &mut self.choices[last]
            }
        };
        progress.visible |= delta.is_visible();
        if let Some(role) = role.filter(|role| !role.is_empty() && !progress.role_said) {
            progress.role_said = true;
            delta
                .delta
                .insert("role".to_owned(), Value::String(role.into_owned()));
        }
        if !delta.text.is_empty() || !delta.delta.is_empty() || !beside.is_empty() {
            self.pieces.push_back(ChatPiece::Delta { index, delta, beside });
        }
        // Some providers write an empty reason into every chunk, some repeat the true one.
        if let Some(reason) = finish_reason.filter(|reason| !reason.is_empty() && !progress.finished) {
            progress.finished = true;
            progress.may_be_empty = matches!(
                known_reason(&reason),
                Some(FinishReason::Length | FinishReason::ContentFilter)
            );
            self.pieces.push_back(ChatPiece::Finished {
                index,
                reason: reason.into_owned(),
            });
        }
        Ok(())
    }

    /// Takes a usage report, as JSON text. The last one counts; null is none.
    pub(in crate::providers) fn usage(&mut self, report: &str) {
        if report != "null" && report.len() <= MOST_USAGE_BYTES {
            self.usage.clear();
            self.usage.push_str(report);
        }
    }

    /// Takes a field that stands beside the choices, as JSON text. The last word counts, but null and the empty
    /// string take nothing back. Fields past the bound are dropped.
    pub(in crate::providers) fn metadata(&mut self, name: &str, json: &str) {
        if matches!(json, "null" | "\"\"") {
            return;
        }
        let known = self.metadata.iter().position(|(known, _)| known == name);
        if known.is_some_and(|at| self.metadata[at].1 == json) {
            return;
        }
        let weight: usize = self
            .metadata
            .iter()
            .map(|(name, json)| name.len() + json.len())
            .sum();
        match known {
            Some(at) if weight - self.metadata[at].1.len() + json.len() <= MOST_FIELD_BYTES => {
                json.clone_into(&mut self.metadata[at].1);
            }
            None if self.metadata.len() < MOST_FIELDS
                && weight + name.len() + json.len() <= MOST_FIELD_BYTES =>
            {
                self.metadata.push((name.to_owned(), json.to_owned()));
            }
            _ => {}
        }
    }

    /// The next piece to hand on.
    pub(in crate::providers) fn pop(&mut self) -> Option<ChatPiece> {
        self.pieces.pop_front()
    }

    /// Nothing more is to be handed on but the usage.
    pub(in crate::providers) fn push_usage(&mut self) {
        self.pieces.extend(self.reported_usage().map(ChatPiece::Usage));
    }

    /// The pieces that are left are part of something broken.
    pub(in crate::providers) fn discard_pieces(&mut self) {
        self.pieces.clear();
    }

    /// Whether a reader could have noticed anything so far, be it only the end.
    pub(in crate::providers) fn has_output(&self) -> bool {
        self.choices
            .iter()
            .any(|choice| choice.visible || choice.finished)
    }

    /// Whether every answer that has begun is finished.
    pub(in crate::providers) fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished)
    }

    /// Whether every answer that was asked for is finished, so that only the usage can follow.
    pub(in crate::providers) fn is_all(&self) -> bool {
        self.is_finished() && self.choices.len() >= self.expected
    }

    /// Whether there is nothing in it, though nothing excuses that.
    pub(in crate::providers) fn is_empty(&self) -> bool {
        !self
            .choices
            .iter()
            .any(|choice| choice.visible || choice.may_be_empty)
    }

    /// The usage reported so far; none without a count.
    pub(in crate::providers) fn reported_usage(&self) -> Option<Usage> {
        let raw: Value = serde_json::from_str(&self.usage).ok()?;
        let count = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| raw.get(name).and_then(Value::as_u64))
        };
        let input = count(["prompt_tokens", "input_tokens"]);
        let output = count(["completion_tokens", "output_tokens"]);
        if input.is_none() && output.is_none() {
            return None;
        }
        Some(Usage {
            input_tokens: input.unwrap_or(0),
            output_tokens: output.unwrap_or(0),
            raw,
        })
    }

    /// The fields beside the choices, each as it was written: `id`, `model`, `service_tier`, what we do not know.
    pub(in crate::providers) fn reported_metadata(&self) -> BTreeMap<String, Box<RawValue>> {
        let raw =
            |(name, json): &(String, String)| Some((name.clone(), RawValue::from_string(json.clone()).ok()?));
        self.metadata.iter().filter_map(raw).collect()
    }
}

/// The reason, when it is one that OpenAI knows.
fn known_reason(reason: &str) -> Option<FinishReason> {
    let name: StrDeserializer<'_, NameError> = reason.into_deserializer();
    FinishReason::deserialize(name).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::providers::openai::chunk::{self, Chunk};

    fn read(assembly: &mut Assembly, chunk: &Value) {
        assert_eq!(chunk::read(&chunk.to_string(), assembly).unwrap(), Chunk::Part);
    }

    /// Everything handed on after these chunks.
    fn pieces(assembly: &mut Assembly, chunks: &[Value]) -> Vec<ChatPiece> {
        chunks.iter().for_each(|chunk| read(assembly, chunk));
        std::iter::from_fn(|| assembly.pop()).collect()
    }

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else {
            panic!("an object")
        };
        fields
    }

    fn delta(index: u32, text: &str, rest: Value, beside: Value) -> ChatPiece {
        let delta = OutputDelta {
            text: text.to_owned(),
            delta: object(rest),
        };
        ChatPiece::Delta {
            index,
            delta,
            beside: object(beside),
        }
    }

    fn finished(index: u32, reason: &str) -> ChatPiece {
        ChatPiece::Finished {
            index,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_stream_as_openai_sends_it() {
        let mut assembly = Assembly::new(1);
        let chunk = |choices: Value, usage: Value| {
            json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-2026", "usage": usage,
                "service_tier": "default", "system_fingerprint": null, "obfuscation": "x8", "choices": choices})
        };
        let logprobs = json!({"content": [{"token": "Hi", "logprob": -0.5}]});
        let begin = chunk(
            json!([{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": null},
                "logprobs": null, "finish_reason": null}]),
            Value::Null,
        );
        assert_eq!(
            pieces(&mut assembly, &[begin]),
            [delta(0, "", json!({"role": "assistant"}), json!({}))]
        );
        assert!(!assembly.has_output());
        let rest = [
            chunk(
                json!([{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "logprobs": logprobs}]),
                Value::Null,
            ),
            chunk(
                json!([{"index": 0, "delta": {}, "finish_reason": ""}]),
                json!({"prompt_tokens": 1}),
            ),
            chunk(
                json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
                Value::Null,
            ),
            chunk(
                json!([{"index": 0, "delta": {"content": null}, "finish_reason": "stop"}]),
                Value::Null,
            ),
            chunk(
                json!([]),
                json!({"prompt_tokens": 3, "completion_tokens": 1, "x_detail": [1]}),
            ),
            chunk(Value::Null, Value::Null),
        ];
        let expected = [
            delta(0, "Hi", json!({}), json!({"logprobs": logprobs})),
            finished(0, "stop"),
        ];
        assert_eq!(pieces(&mut assembly, &rest), expected);
        assert!(assembly.has_output() && assembly.is_all() && !assembly.is_empty());
        let usage = assembly.reported_usage().unwrap();
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, &usage.raw["x_detail"]),
            (3, 1, &json!([1]))
        );
        let said = serde_json::to_value(assembly.reported_metadata()).unwrap();
        assert_eq!(
            said,
            json!({"id": "c-1", "created": 1, "model": "m-2026", "service_tier": "default"})
        );
    }

    #[test]
    fn what_is_not_text_survives() {
        let mut assembly = Assembly::new(1);
        let call = json!([{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{\"a\":1}"}}]);
        let chunks = [
            json!({"choices": [{"delta": {"tool_calls": call, "reasoning_content": "hm"}, "x_choice": 7}]}),
            json!({"choices": [{"index": null, "delta": {"content": [{"type": "thinking"}]}, "finish_reason": "tool_calls"}]}),
        ];
        let expected = [
            delta(
                0,
                "",
                json!({"tool_calls": call, "reasoning_content": "hm"}),
                json!({"x_choice": 7}),
            ),
            delta(0, "", json!({"content": [{"type": "thinking"}]}), json!({})),
            finished(0, "tool_calls"),
        ];
        assert_eq!(pieces(&mut assembly, &chunks), expected);
        assert!(!assembly.is_empty());
        read(&mut assembly, &json!({"x_vendor": 0}));
        chunk::read(
            r#"{"x_vendor":{"price":1.50,"note":null},"choices":[],"x_\u0041":1}"#,
            &mut assembly,
        )
        .unwrap();
        let said = assembly.reported_metadata();
        assert_eq!(
            said["x_vendor"].get(),
            r#"{"price":1.50,"note":null}"#,
            "as it was written"
        );
        assert_eq!(said["x_A"].get(), "1");
    }

    #[test]
    fn a_whole_answer_is_one_large_piece() {
        let mut assembly = Assembly::new(1);
        let answer = json!({"object": "chat.completion", "usage": {"input_tokens": 2, "output_tokens": 1}, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi \u{e9}\n", "refusal": null}, "finish_reason": "stop"}]});
        let expected = [
            delta(0, "Hi \u{e9}\n", json!({"role": "assistant"}), json!({})),
            finished(0, "stop"),
        ];
        assert_eq!(pieces(&mut assembly, &[answer]), expected);
        assembly.push_usage();
        assert!(matches!(assembly.pop(), Some(ChatPiece::Usage(usage)) if usage.input_tokens == 2));
    }

    #[test]
    fn complete_means_all_that_was_asked_for() {
        let mut assembly = Assembly::new(2);
        assert!(!assembly.is_finished());
        read(
            &mut assembly,
            &json!({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}),
        );
        assert!(assembly.is_finished() && !assembly.is_all());
        read(
            &mut assembly,
            &json!({"choices": [{"index": 1, "delta": {"content": "b"}}]}),
        );
        assert!(!assembly.is_finished());
        read(
            &mut assembly,
            &json!({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}),
        );
        assert!(assembly.is_all());
    }

    #[test]
    fn emptiness_needs_an_excuse() {
        let outcomes = [
            ("stop", true),
            ("tool_calls", true),
            ("eos", true),
            ("length", false),
            ("content_filter", false),
        ];
        for (reason, empty) in outcomes {
            let mut assembly = Assembly::new(1);
            let message = json!({"role": "assistant", "content": ""});
            read(
                &mut assembly,
                &json!({"choices": [{"message": message, "finish_reason": reason}]}),
            );
            assert_eq!(assembly.is_empty(), empty, "{reason}");
        }
        let mut refusal = Assembly::new(1);
        read(
            &mut refusal,
            &json!({"choices": [{"message": {"refusal": "No."}, "finish_reason": "stop"}]}),
        );
        assert!(!refusal.is_empty());
    }

    #[test]
    fn errors_and_nonsense_are_told_apart() {
        let mut assembly = Assembly::new(1);
        let mut read = |text: &str| chunk::read(text, &mut assembly);
        assert_eq!(
            read(r#"{"error":{"message":"x"}}"#).unwrap(),
            Chunk::Error(json!({"message": "x"}))
        );
        assert_eq!(read(r#"{"error":null,"choices":[]}"#).unwrap(), Chunk::Part);
        let old = r#"{"object":"error","message":"x","code":400}"#;
        assert_eq!(
            read(old).unwrap(),
            Chunk::Error(serde_json::from_str(old).unwrap())
        );
        for nonsense in [
            "",
            "[]",
            "7",
            "{",
            "{} {}",
            r#"{"choices":7}"#,
            r#"{"choices":[7]}"#,
            r#"{"choices":[{"delta":7}]}"#,
            r#"{"choices":[{"index":-1}]}"#,
            r#"{"choices":[{"finish_reason":7}]}"#,
            r#"{"choices":[{"delta":{"role":7}}]}"#,
            &format!(r#"{{"choices":[{{"x":{}"#, "[".repeat(200)),
        ] {
            assert!(read(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut assembly = Assembly::new(1);
        for at in 0..100 {
            read(
                &mut assembly,
                &json!({format!("x{at}"): at, "long": "x".repeat(at * 1_000)}),
            );
        }
        let said = assembly.reported_metadata();
        assert_eq!(said.len(), MOST_FIELDS);
        assert!(said["long"].get().len() < MOST_FIELD_BYTES);
        read(
            &mut assembly,
            &json!({"usage": {"prompt_tokens": 1, "x": "y".repeat(MOST_USAGE_BYTES)}}),
        );
        assert_eq!(assembly.reported_usage(), None);
        let many: Vec<Value> = (0..=MOST_CHOICES)
            .map(|index| json!({"index": index, "delta": {}}))
            .collect();
        assert!(chunk::read(&json!({"choices": many}).to_string(), &mut assembly).is_err());
    }
}
