//! How the tests make a call and what they look at.

use std::future::Future;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::catalog::{Auth, Dialect, Quirks};
use simulator::{Simulator, SimulatorConfig};
use worker::providers::{
    ChatCall, ChatPiece, ChatStream, Provider, ProviderError, ProviderSettings, Timeouts, Usage,
};

pub(crate) const PROMPT: &str = "tell me";

/// So long that only a defect reaches it.
pub(crate) const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(30),
    first_token: Duration::from_secs(30),
    between_tokens: Duration::from_secs(30),
    total: Duration::from_secs(60),
};

pub(crate) async fn simulator() -> Simulator {
    let config = SimulatorConfig {
        first_token_delay: Duration::ZERO,
        token_interval: Duration::ZERO,
        tokens: 8,
        ..SimulatorConfig::default()
    };
    Simulator::bind("127.0.0.1:0", config).await.unwrap()
}

pub(crate) fn settings(base_url: impl Into<String>, timeouts: Timeouts) -> ProviderSettings {
    ProviderSettings {
        name: "acme".to_owned(),
        dialect: Dialect::OpenAi,
        base_url: base_url.into(),
        query: Vec::new(),
        auth: Auth::Bearer,
        api_keys: vec!["sk-test-0123456789".into()],
        credentials: None,
        api_key_env: Some("ACME_API_KEY".to_owned()),
        quirks: Quirks::default(),
        timeouts,
        simulated: false,
    }
}

pub(crate) fn provider(base_url: impl Into<String>, timeouts: Timeouts) -> Provider {
    Provider::new(settings(base_url, timeouts)).unwrap()
}

/// Sends one message; `change` may alter the call.
pub(crate) async fn start(
    provider: &Provider,
    model: &str,
    stream: bool,
    params: &Map<String, Value>,
) -> Result<ChatStream, ProviderError> {
    let messages = serde_json::json!([{"role": "user", "content": PROMPT}]).to_string();
    let messages = RawValue::from_string(messages).unwrap();
    let call = ChatCall {
        model,
        messages: &messages,
        max_tokens: None,
        model_max_output: None,
        beginning: None,
        temperature: None,
        params,
        stream,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    };
    provider.start(&call).await
}

/// An answer, added up, and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) pieces: Vec<ChatPiece>,
    pub(crate) reasons: Vec<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<ProviderError>,
    pub(crate) stream: Option<ChatStream>,
}

impl Outcome {
    /// The error of a call that must have failed.
    pub(crate) fn failure(&self) -> &ProviderError {
        self.error
            .as_ref()
            .unwrap_or_else(|| panic!("must fail, but gave {self:?}"))
    }

    /// The stream of a call that must have been answered completely.
    pub(crate) fn complete(&self) -> &ChatStream {
        assert!(self.error.is_none(), "{self:?}");
        self.stream.as_ref().unwrap()
    }
}

/// Makes a call and reads it to its end, one way or the other.
pub(crate) async fn call(provider: &Provider, model: &str, stream: bool) -> Outcome {
    call_with(provider, model, stream, &Map::new()).await
}

pub(crate) async fn call_with(
    provider: &Provider,
    model: &str,
    stream: bool,
    params: &Map<String, Value>,
) -> Outcome {
    outcome_of(start(provider, model, stream, params).await).await
}

/// Reads what was started to its end, one way or the other.
pub(crate) async fn outcome_of(started: Result<ChatStream, ProviderError>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut stream = match started {
        Ok(stream) => stream,
        Err(error) => {
            return Outcome {
                error: Some(error),
                ..outcome
            };
        }
    };
    loop {
        match stream.next().await {
            Ok(Some(piece)) => {
                assert!(outcome.usage.is_none(), "the usage comes last and once");
                match &piece {
                    ChatPiece::Delta { delta, .. } => outcome.text.push_str(&delta.text),
                    ChatPiece::Finished { reason, .. } => outcome.reasons.push(reason.clone()),
                    ChatPiece::Usage(usage) => outcome.usage = Some(usage.clone()),
                }
                outcome.pieces.push(piece);
            }
            Ok(None) => {
                assert_eq!(stream.next().await.unwrap(), None, "the end stays the end");
                break;
            }
            Err(error) => {
                let again = stream.next().await.expect_err("an error stays an error");
                assert_eq!(again.kind(), error.kind());
                outcome.error = Some(error);
                break;
            }
        }
    }
    outcome.stream = Some(stream);
    outcome
}

/// Turns a test that would hang into one that fails.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it never happened")
}
