//! The Bedrock dialect: Amazon Bedrock's `Converse`, and `ConverseStream` in AWS's event stream framing. Source: "Converse", "ConverseStream" and the types they name in the Amazon Bedrock API reference; "Use the
//! Converse API" and "Structured outputs" in its user guide.
//!
//! `family` knows what is peculiar to a vendor's models, by their ids; `request` writes the body, with `conversation`
//! for the messages, `tools`, and `structure` for `response_format`; `answer` reads events and whole answers, with
//! `usage` for the counts; `refusal` reads exceptions. What Claude models take, Anthropic's dialect knows.
//!
//! - Thinking comes out as `reasoning_content`; where it is signed, whole blocks follow in `thinking_blocks`, as from
//!   Anthropic's own service, and go back from there. What is encrypted (`redacted_thinking`) is as Bedrock wrote it,
//!   and means something to Bedrock only.
//! - Parameters that are not OpenAI's pass through: those of Converse (`guardrailConfig`, ...) in their place, all
//!   others in `additionalModelRequestFields`, which is where a model's own parameters belong.
//! - Pictures and files must be in the message: Converse fetches nothing.
//! - `tool_choice: none` has no form. The tools are left out; where earlier messages speak of tools, Bedrock itself
//!   refuses that, in its own words.
//! - Left out for want of a form: penalties, an image's `detail`, and what `canonical` says may always be left out.
//!   Refused: what it refuses, and `logit_bias`.

mod answer;
mod conversation;
mod family;
mod refusal;
mod request;
mod structure;
mod tools;
mod usage;

use std::time::Duration;

use reqwest::{StatusCode, Url};
use shared::catalog::Quirks;

use super::ChatCall;
use super::canonical::{self, Params};
use super::dialect::{Dialect, Framing, Outgoing, ReadAnswer};
use super::wire::{Endpoint, Fault};
use answer::Reader;
use family::Family;
use structure::Structure;

/// Amazon Bedrock in one region.
#[derive(Debug)]
pub(super) struct Bedrock {
    quirks: Quirks,
}

impl Bedrock {
    /// With the peculiarities of one server.
    pub(super) fn new(quirks: Quirks) -> Self {
        Self { quirks }
    }
}

/// Where a model is called. Colons are written `%3A`, as AWS's own clients write them: a signature is over the path,
/// and only this form means the same to whoever decodes it before looking.
fn address(endpoint: &Endpoint, model: &str, operation: &str) -> Url {
    let mut url = endpoint.below(["model", model, operation]);
    let path = url.path().replace(':', "%3A");
    url.set_path(&path);
    url
}

impl Dialect for Bedrock {
    fn request(&self, call: &ChatCall<'_>, endpoint: &Endpoint) -> Result<Outgoing, Fault> {
        let kept = canonical::kept(call.params, &self.quirks);
        let call = canonical::without_dropped(call, &self.quirks, &kept);
        let operation = if call.stream {
            "converse-stream"
        } else {
            "converse"
        };
        Ok(Outgoing {
            url: address(endpoint, call.model, operation),
            headers: Vec::new(),
            body: request::body(&call)?,
        })
    }

    fn reader(&self, call: &ChatCall<'_>) -> Box<dyn ReadAnswer> {
        let kept = canonical::kept(call.params, &self.quirks);
        // What the request could not be written with was refused before.
        let structure = Structure::of(&Params::new(&kept), Family::of(call.model));
        let by_tool = matches!(structure, Ok(Structure::ByTool(_)));
        Box::new(Reader::new(by_tool, call.beginning))
    }

    fn can_continue(&self, model: &str) -> bool {
        Family::of(model).goes_on()
    }

    fn framing(&self) -> Framing {
        Framing::AwsEventStream
    }

    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
        refusal::refused(status, retry_after, body)
    }
}
