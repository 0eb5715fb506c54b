//! What the parts of an answer mean together: which pieces to hand on, whether it is complete, what it used, what was
//! said about it. Grows with nothing but pieces not yet taken; everything it keeps has a bound.

use std::borrow::Cow;
use std::collections::VecDeque;

use async_openai::types::chat::FinishReason;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde_json::{Map, Value};

use super::chunk::Choice;
use crate::providers::{ChatPiece, Usage};

/// As many as OpenAI accepts for `n`.
const MOST_CHOICES: usize = 128;
/// Unknown fields beside the choices that are kept, and the bytes all of them may weigh.
const MOST_FIELDS: usize = 32;
const MOST_FIELD_BYTES: usize = 16 * 1024;
/// A usage report is a dozen numbers.
const MOST_USAGE_BYTES: usize = 16 * 1024;

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Assembly {
    expected: usize,
    pieces: VecDeque<ChatPiece>,
    choices: Vec<Progress>,
    /// The last report as JSON text; some providers send one with each chunk, so it is parsed only once asked for.
    usage: String,
    /// JSON texts by name, few enough to search.
    metadata: Vec<(String, String)>,
}

#[derive(Debug)]
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
    pub(super) fn new(expected: usize) -> Self {
        Self {
            expected,
            pieces: VecDeque::new(),
            choices: Vec::with_capacity(1),
            usage: String::new(),
            metadata: Vec::new(),
        }
    }

    /// Takes one entry of `choices`.
    pub(super) fn choice(&mut self, choice: Choice<'_>) -> Result<(), &'static str> {
        let Choice { index, role, mut delta, beside, finish_reason } = choice;
        let progress = match self.choices.iter().position(|known| known.index == index) {
            Some(at) => &mut self.choices[at],
            None if self.choices.len() == MOST_CHOICES => return Err("more choices than may be asked for"),
            None => {
                let (role_said, visible, finished, may_be_empty) = (false, false, false, false);
                self.choices.push(Progress { index, role_said, visible, finished, may_be_empty });
                let last = self.choices.len() - 1;
                &mut self.choices[last]
            }
        };
        progress.visible |= delta.is_visible();
        if let Some(role) = role.filter(|role| !role.is_empty() && !progress.role_said) {
            progress.role_said = true;
            delta.delta.insert("role".to_owned(), Value::String(role.into_owned()));
        }
        if !delta.text.is_empty() || !delta.delta.is_empty() || !beside.is_empty() {
            self.pieces.push_back(ChatPiece::Delta { index, delta, beside });
        }
        // Some providers write an empty reason into every chunk, some repeat the true one.
        if let Some(reason) = finish_reason.filter(|reason| !reason.is_empty() && !progress.finished) {
            progress.finished = true;
            progress.may_be_empty =
                matches!(known_reason(&reason), Some(FinishReason::Length | FinishReason::ContentFilter));
            self.pieces.push_back(ChatPiece::Finished { index, reason: reason.into_owned() });
        }
        Ok(())
    }

    /// Takes a usage report, as JSON text. The last one counts; null is none.
    pub(super) fn usage(&mut self, report: &str) {
        if report != "null" && report.len() <= MOST_USAGE_BYTES {
            self.usage.clear();
            self.usage.push_str(report);
        }
    }

    /// Takes a field that stands beside the choices, as JSON text. The last word counts, but null and the empty
    /// string take nothing back. Fields past the bound are dropped.
    pub(super) fn metadata(&mut self, name: &str, json: &str) {
        if matches!(json, "null" | "\"\"") {
            return;
        }
        let known = self.metadata.iter().position(|(known, _)| known == name);
        if known.is_some_and(|at| self.metadata[at].1 == json) {
            return;
        }
        let weight: usize = self.metadata.iter().map(|(name, json)| name.len() + json.len()).sum();
        match known {
            Some(at) if weight - self.metadata[at].1.len() + json.len() <= MOST_FIELD_BYTES => {
                json.clone_into(&mut self.metadata[at].1);
            }
            None if self.metadata.len() < MOST_FIELDS && weight + name.len() + json.len() <= MOST_FIELD_BYTES => {
                self.metadata.push((name.to_owned(), json.to_owned()));
            }
            _ => {}
        }
    }

    /// The next piece to hand on.
    pub(super) fn pop(&mut self) -> Option<ChatPiece> {
        self.pieces.pop_front()
    }

    /// Nothing more is to be handed on but the usage.
    pub(super) fn push_usage(&mut self) {
        self.pieces.extend(self.reported_usage().map(ChatPiece::Usage));
    }

    /// The pieces that are left are part of something broken.
    pub(super) fn discard_pieces(&mut self) {
        self.pieces.clear();
    }

    /// Whether a reader could have noticed anything so far, be it only the end.
    pub(super) fn has_output(&self) -> bool {
        self.choices.iter().any(|choice| choice.visible || choice.finished)
    }

    /// Whether every answer that has begun is finished.
    pub(super) fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished)
    }

    /// Whether every answer that was asked for is finished, so that only the usage can follow.
    pub(super) fn is_all(&self) -> bool {
        self.is_finished() && self.choices.len() >= self.expected
    }

    /// Whether there is nothing in it, though nothing excuses that.
    pub(super) fn is_empty(&self) -> bool {
        !self.choices.iter().any(|choice| choice.visible || choice.may_be_empty)
    }

    /// The usage reported so far; none without a count.
    pub(super) fn reported_usage(&self) -> Option<Usage> {
        let raw: Value = serde_json::from_str(&self.usage).ok()?;
        let count = |names: [&str; 2]| names.iter().find_map(|name| raw.get(name).and_then(Value::as_u64));
        let input = count(["prompt_tokens", "input_tokens"]);
        let output = count(["completion_tokens", "output_tokens"]);
        if input.is_none() && output.is_none() {
            return None;
        }
        Some(Usage { input_tokens: input.unwrap_or(0), output_tokens: output.unwrap_or(0), raw })
    }

    /// The fields beside the choices: `id`, `model`, `system_fingerprint`, `service_tier`, what we do not know.
    pub(super) fn reported_metadata(&self) -> Map<String, Value> {
        let parsed = |(name, json): &(String, String)| Some((name.clone(), serde_json::from_str(json).ok()?));
        self.metadata.iter().filter_map(parsed).collect()
    }
}

/// The reason, when it is one that OpenAI knows.
fn known_reason(reason: &Cow<'_, str>) -> Option<FinishReason> {
    let name: StrDeserializer<'_, NameError> = (**reason).into_deserializer();
    FinishReason::deserialize(name).ok()
}
