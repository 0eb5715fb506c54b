//! What the tests of all dialects that are not OpenAI's need: a server that answers once, and the answer added up.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::domain::Answer;
use worker::providers::{ChatCall, ChatPiece, Provider};

use crate::calling::{Outcome, outcome_of, soon};
use crate::wire::{STREAM_HEAD, answer_with, plain};

/// A call to be made.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) model: &'static str,
    pub(crate) messages: Value,
    pub(crate) params: Value,
    pub(crate) beginning: Option<&'static str>,
    pub(crate) stream: bool,
}

impl Asked {
    /// A question, answered in pieces.
    pub(crate) fn of(model: &'static str) -> Self {
        Self {
            model,
            messages: serde_json::json!([{"role": "user", "content": "hi"}]),
            params: Value::Object(Map::new()),
            beginning: None,
            stream: true,
        }
    }

    /// The same, answered whole.
    pub(crate) fn whole(self) -> Self {
        Self {
            stream: false,
            ..self
        }
    }

    pub(crate) fn with(self, params: Value) -> Self {
        Self { params, ..self }
    }

    pub(crate) async fn of_provider(&self, provider: &Provider) -> Outcome {
        let messages = RawValue::from_string(self.messages.to_string()).unwrap();
        let call = ChatCall {
            model: self.model,
            messages: &messages,
            max_tokens: None,
            model_max_output: None,
            beginning: self.beginning,
            temperature: None,
            params: self.params.as_object().unwrap(),
            stream: self.stream,
            traceparent: None,
        };
        outcome_of(provider.start(&call).await).await
    }
}

/// What came of a call, and what was sent for it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) outcome: Outcome,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Exchange {
    /// The answer of a call that must have been answered completely, added up as its readers do.
    pub(crate) fn answer(&self) -> Answer {
        self.outcome.complete();
        let mut answer = Answer::default();
        for piece in &self.outcome.pieces {
            if let ChatPiece::Delta { index: 0, delta, .. } = piece {
                answer.push(delta);
            }
        }
        answer
    }

    /// What was said beside the answer.
    pub(crate) fn said(&self) -> Value {
        serde_json::to_value(self.outcome.complete().metadata()).unwrap()
    }

    /// The usage as it is kept.
    pub(crate) fn usage(&self) -> &Value {
        &self.outcome.usage.as_ref().unwrap().raw
    }
}

/// Makes a call of a provider built by `built`, which is answered with these bytes.
pub(crate) async fn exchange(built: fn(String) -> Provider, asked: &Asked, response: Vec<u8>) -> Exchange {
    let (base_url, server) = answer_with(response).await;
    let outcome = soon(asked.of_provider(&built(base_url))).await;
    let request = soon(server).await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    Exchange {
        outcome,
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap(),
    }
}

/// A response that streams these events.
pub(crate) fn events(events: &str) -> Vec<u8> {
    [STREAM_HEAD, events.as_bytes()].concat()
}

/// A response with this JSON.
pub(crate) fn json(status: &str, body: &str) -> Vec<u8> {
    plain(&format!("{status}\r\ncontent-type: application/json"), body)
}
