//! A simulator without delays and a client that reports what came over the wire, errors included.

use std::{error::Error as _, io, time::Duration};

use reqwest::{Client, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use simulator::{SIMULATED_HEADER, Simulator, SimulatorConfig};

pub(crate) const SEED: u64 = 11;
pub(crate) const PROMPT: &str = "How do rivers find the sea?";

/// A simulator on a port of its own that answers ten tokens at once.
pub(crate) async fn simulator() -> Simulator {
    let config = SimulatorConfig {
        seed: SEED,
        first_token_delay: Duration::ZERO,
        token_interval: Duration::ZERO,
        tokens: 10,
        ..SimulatorConfig::default()
    };
    Simulator::bind("127.0.0.1:0", config).await.unwrap()
}

pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// A chat request with [`PROMPT`], and `more` on top.
pub(crate) fn body(model: &str, more: &Value) -> Value {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": PROMPT }] });
    let fields = body.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
    }
    body
}

/// Sends a request up to the head of its response.
pub(crate) async fn send(simulator: &Simulator, body: &Value) -> reqwest::Result<Response> {
    let url = format!("{}/chat/completions", simulator.base_url());
    client().post(url).json(body).send().await
}

/// Asks for a stream that ends with the usage.
pub(crate) async fn stream(simulator: &Simulator, model: &str) -> Reply {
    stream_with(simulator, model, &json!({})).await
}

pub(crate) async fn stream_with(simulator: &Simulator, model: &str, more: &Value) -> Reply {
    let mut body = body(
        model,
        &json!({ "stream": true, "stream_options": { "include_usage": true } }),
    );
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    Reply::read(send(simulator, &body).await.unwrap()).await
}

/// Asks for a whole answer.
pub(crate) async fn whole(simulator: &Simulator, model: &str) -> Reply {
    Reply::read(send(simulator, &body(model, &json!({}))).await.unwrap()).await
}

/// A response to its end, or to the error that ended it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) error: Option<reqwest::Error>,
}

impl Reply {
    pub(crate) async fn read(mut response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        assert_eq!(headers[SIMULATED_HEADER], "true", "every response is labelled");
        let mut body = Vec::new();
        let error = loop {
            match response.chunk().await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        Self {
            status,
            headers,
            body,
            error,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The data of every SSE event.
    pub(crate) fn events(&self) -> Vec<&str> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let mut events: Vec<&str> = text.split("\n\n").collect();
        assert_eq!(events.pop(), Some(""), "the last event is closed");
        events
            .into_iter()
            .map(|event| event.strip_prefix("data: ").unwrap())
            .collect()
    }

    /// The events that are JSON, that is, all but `[DONE]`.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let events = self.events();
        events
            .iter()
            .filter(|data| **data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.body.ends_with(b"data: [DONE]\n\n")
    }

    /// The content of all chunks.
    pub(crate) fn text(&self) -> String {
        let chunks = self.chunks();
        chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect()
    }

    pub(crate) fn finish_reasons(&self) -> Vec<String> {
        let chunks = self.chunks();
        let reasons = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str());
        reasons.map(str::to_owned).collect()
    }

    /// The usages of all chunks, without the nulls.
    pub(crate) fn usages(&self) -> Vec<Value> {
        let usages = self.chunks().into_iter().map(|mut chunk| chunk["usage"].take());
        usages.filter(|usage| !usage.is_null()).collect()
    }

    /// The error of the socket that ended the body.
    pub(crate) fn io_error(&self) -> Option<io::ErrorKind> {
        let mut source = self.error.as_ref()?.source();
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error.kind());
            }
            source = error.source();
        }
        None
    }
}
