//! What goes into a provider call and what comes out, in words no dialect owns. Nothing here does I/O.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::domain::OutputDelta;

/// One call of a chat model. Borrowed, so that a prompt of megabytes is not copied for each attempt.
#[derive(Debug, Clone, Copy)]
pub struct ChatCall<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// The conversation: a JSON array of chat messages, sent as it is written.
    pub messages: &'a RawValue,
    /// At most so many tokens are generated.
    pub max_tokens: Option<u32>,
    /// The most tokens the model generates in one answer, where that is known: what a dialect that must name a limit
    /// sends when `max_tokens` is silent.
    pub model_max_output: Option<u32>,
    /// What the answer begins with, already said: the model goes on after it, and the pieces that come are only what
    /// follows. Only for models of which [`super::Provider::can_continue`] is true.
    pub beginning: Option<&'a str>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Sent beside our own fields, which win where both name the same one.
    pub params: &'a Map<String, Value>,
    /// Whether the answer shall come in pieces as it is generated, or whole.
    pub stream: bool,
    /// The trace this call belongs to, as the value of a W3C `traceparent` header. Left out when not a valid one.
    pub traceparent: Option<&'a str>,
}

impl ChatCall<'_> {
    /// How many answers are asked for.
    pub(super) fn answers(&self) -> usize {
        self.params
            .get("n")
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(1)
            .max(1)
    }
}

/// What a provider says, in the order it said it. The usage comes last.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatPiece {
    /// A piece of the answer.
    Delta {
        /// Which of the answers that were asked for; 0 unless `n` was more than 1.
        index: u32,
        /// The piece. A role is passed on once per answer, however often the provider repeats it; nulls say nothing
        /// and are left out.
        delta: OutputDelta,
        /// What stood beside the delta (`logprobs`, fields we do not know), nulls left out.
        beside: Map<String, Value>,
    },
    /// One of the answers is finished. At most once per index.
    Finished {
        /// Which one.
        index: u32,
        /// Why the model stopped, in the provider's word: `stop`, `length`, `tool_calls`, ...
        reason: String,
    },
    /// What the call used: the provider's last word on it, so at most once.
    Usage(Usage),
}

/// What a call used, by the provider's count.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens generated.
    pub output_tokens: u64,
    /// The report as it came, with every detail we do not read.
    pub raw: Value,
}
