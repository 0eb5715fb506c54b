//! The OpenAI dialect: any endpoint that speaks `POST {base}/chat/completions`, as OpenAI documents it and as the
//! many servers that imitate it do, each with its quirks.
//!
//! `request` writes the body; `answer` reads an answer's events, whose JSON is `chunk`'s business. Fields we do not
//! know pass through, both ways. Never changes a message: our canonical form is this dialect's.

pub(super) mod answer;
pub(super) mod chunk;
pub(super) mod request;

use shared::catalog::Quirks;

use super::ChatCall;
use super::dialect::{Dialect, Outgoing, ReadAnswer};
use super::wire::{Endpoint, Fault};

const PATH: &str = "chat/completions";

/// A server that speaks OpenAI's protocol.
#[derive(Debug)]
pub(super) struct OpenAi {
    quirks: Quirks,
}

impl OpenAi {
    /// With the peculiarities of one server.
    pub(super) fn new(quirks: Quirks) -> Self {
        Self { quirks }
    }
}

impl Dialect for OpenAi {
    fn request(&self, call: &ChatCall<'_>, endpoint: &Endpoint) -> Result<Outgoing, Fault> {
        let path = self.quirks.chat_path.as_deref().unwrap_or(PATH);
        Ok(Outgoing {
            url: endpoint.below(path.trim_matches('/').split('/')),
            headers: Vec::new(),
            body: request::body(call, &self.quirks)?,
        })
    }

    fn reader(&self, _call: &ChatCall<'_>) -> Box<dyn ReadAnswer> {
        Box::new(answer::ChunkReader)
    }
}
