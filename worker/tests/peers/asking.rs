//! A call, and the answer added up as its readers do.

use std::future::Future;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::domain::Answer;
use worker::providers::{ChatCall, ChatPiece, Provider, ProviderError, Usage};

/// What came of a call.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) reasons: Vec<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<ProviderError>,
}

impl Outcome {
    /// The same, which must be a complete answer.
    pub(crate) fn complete(self) -> Self {
        assert!(self.error.is_none(), "{self:?}");
        self
    }

    /// The error of a call that must have failed.
    pub(crate) fn failure(&self) -> &ProviderError {
        self.error
            .as_ref()
            .unwrap_or_else(|| panic!("must fail, but gave {self:?}"))
    }
}

/// Asks a model by one short message.
pub(crate) async fn ask(provider: &Provider, model: &str, stream: bool) -> Outcome {
    let messages = json!([{"role": "user", "content": "Say something."}]);
    ask_with(provider, model, stream, &messages, &json!({})).await
}

/// Asks a model, and reads to the end, one way or the other.
pub(crate) async fn ask_with(
    provider: &Provider,
    model: &str,
    stream: bool,
    messages: &Value,
    params: &Value,
) -> Outcome {
    let messages = RawValue::from_string(messages.to_string()).unwrap();
    let call = ChatCall {
        model,
        messages: &messages,
        max_tokens: None,
        model_max_output: None,
        beginning: None,
        temperature: None,
        params: params.as_object().unwrap(),
        stream,
        traceparent: None,
    };
    let mut outcome = Outcome::default();
    let reading = async {
        let mut stream = provider.start(&call).await?;
        while let Some(piece) = stream.next().await? {
            match piece {
                ChatPiece::Delta { delta, .. } => outcome.answer.push(&delta),
                ChatPiece::Finished { reason, .. } => outcome.reasons.push(reason),
                ChatPiece::Usage(usage) => outcome.usage = Some(usage),
            }
        }
        Ok(())
    };
    outcome.error = soon(reading).await.err();
    outcome
}

/// Turns a test that would hang into one that fails.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it never happened")
}
