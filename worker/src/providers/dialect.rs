//! What a dialect has to do, and nothing of how bytes travel: write a chat call as the provider's request, and read
//! the provider's events into an [`Assembly`], whose terms are those of OpenAI's chat chunks. Connections, time limits,
//! bounds, keys and the wording of failures are the wire's, the same for all dialects.
//!
//! A dialect never does I/O, never calls an answer complete that the provider has not finished, and never drops what
//! it does not know where it can pass it through.

use std::fmt;

use reqwest::StatusCode;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use shared::catalog::{self, Quirks};
use std::time::Duration;

use super::wire::{Assembly, Endpoint, Fault};
use super::{ChatCall, anthropic, azure, bedrock, cohere, gemini, openai};

/// One provider's protocol. Holds what is the same for all calls; what belongs to one answer is in [`ReadAnswer`].
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// Writes the request. The wire adds the key, the settings' fixed headers and query, `content-type` and `accept`.
    fn request(&self, call: &ChatCall<'_>, endpoint: &Endpoint) -> Result<Outgoing, Fault>;

    /// A reader for the answer to this call.
    fn reader(&self, call: &ChatCall<'_>) -> Box<dyn ReadAnswer>;

    /// Whether this model can be given the beginning of its answer ([`ChatCall::beginning`]).
    fn can_continue(&self, _model: &str) -> bool {
        false
    }

    /// How a streamed answer is cut into events. An answer that does not stream is one JSON text in every dialect.
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    /// What a refusal means; `body` is the beginning of what came with it. To be overridden where the status or the
    /// place of the message is the provider's own.
    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
        Fault::refused(status, retry_after, body)
    }
}

/// Reads one answer, in events or whole.
pub(super) trait ReadAnswer: fmt::Debug + Send {
    /// Takes one event: its name (empty where it has none) and its data, without white space around it and never
    /// empty.
    fn event(&mut self, name: &[u8], data: &[u8], assembly: &mut Assembly) -> Result<Flow, Fault>;

    /// Takes an answer that came as one body.
    fn whole(&mut self, body: &[u8], assembly: &mut Assembly) -> Result<(), Fault>;

    /// Takes an event that the framing marks as an error: named `error` in server-sent events, after the exception in
    /// AWS's framing.
    fn error(&mut self, _name: &[u8], data: &[u8]) -> Fault {
        match serde_json::from_slice::<Value>(data) {
            Ok(value) => Fault::reported(value.get("error").unwrap_or(&value)),
            Err(_) => Fault::reported(&Value::String(String::from_utf8_lossy(data).into_owned())),
        }
    }

    /// The body of a stream ended, not cut, and no event was the last by its own word. An error unless that is how
    /// an answer of this dialect may end. What the reader still holds back goes into the assembly here.
    fn end(&mut self, assembly: &mut Assembly) -> Result<(), Fault> {
        if assembly.is_all() {
            Ok(())
        } else {
            Err(Fault::interrupted("the stream ended before a finish_reason"))
        }
    }
}

/// Whether an event was the last of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// More is to come, or may.
    More,
    /// The provider says that this is all.
    Done,
}

/// How a streamed answer is cut into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// `text/event-stream`.
    Sse,
    /// `application/vnd.amazon.eventstream`.
    AwsEventStream,
}

/// A request, as far as the dialect has a say in it.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Where it goes: made by [`Endpoint::below`].
    pub(super) url: reqwest::Url,
    /// Headers of the dialect (`anthropic-version`). The settings' own win.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, JSON.
    pub(super) body: Vec<u8>,
}

/// The dialect of this name, with the peculiarities of one server.
pub(super) fn named(name: catalog::Dialect, quirks: Quirks) -> Box<dyn Dialect> {
    match name {
        catalog::Dialect::OpenAi => Box::new(openai::OpenAi::new(quirks)),
        catalog::Dialect::Azure => Box::new(azure::Azure::new(quirks)),
        catalog::Dialect::Anthropic => Box::new(anthropic::Anthropic::new(quirks)),
        catalog::Dialect::Gemini => Box::new(gemini::Gemini::new(quirks)),
        catalog::Dialect::Bedrock => Box::new(bedrock::Bedrock::new(quirks)),
        catalog::Dialect::Cohere => Box::new(cohere::Cohere::new(quirks)),
    }
}
