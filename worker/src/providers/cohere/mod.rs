//! The Cohere dialect: `POST {base}/chat` of its API's version 2, as Cohere documents it ("Chat" and "Chat with
//! Streaming" in its reference) and its Python SDK types it.
//!
//! `request` writes the body, with `conversation` for the messages; `answer` reads events and whole answers, with
//! `usage` for the counts.
//!
//! - Thinking comes out as `reasoning_content`. It is not sent back, which Cohere does not ask for. The plan a model
//!   makes before it calls tools comes out as `tool_plan`, and a message that is sent back with it goes out with it.
//! - Citations come out as a list `citations`.
//! - An answer cannot be gone on with.

mod answer;
mod conversation;
mod request;
mod usage;

use std::time::Duration;

use reqwest::StatusCode;
use shared::catalog::Quirks;

use super::dialect::{Dialect, Outgoing, ReadAnswer};
use super::wire::{Endpoint, Fault};
use super::{ChatCall, ErrorKind, canonical};

const PATH: &str = "chat";
const CUT_OFF: u16 = 499;

/// Cohere's API.
#[derive(Debug)]
pub(super) struct Cohere {
    quirks: Quirks,
}

impl Cohere {
    /// With the peculiarities of one server.
    pub(super) fn new(quirks: Quirks) -> Self {
        Self { quirks }
    }
}

impl Dialect for Cohere {
    fn request(&self, call: &ChatCall<'_>, endpoint: &Endpoint) -> Result<Outgoing, Fault> {
        let kept = canonical::kept(call.params, &self.quirks);
        let call = canonical::without_dropped(call, &self.quirks, &kept);
        let path = self.quirks.chat_path.as_deref().unwrap_or(PATH);
        Ok(Outgoing {
            url: endpoint.below(path.trim_matches('/').split('/')),
            headers: Vec::new(),
            body: request::body(&call)?,
        })
    }

    fn reader(&self, _call: &ChatCall<'_>) -> Box<dyn ReadAnswer> {
        Box::new(answer::ChatReader::default())
    }

    /// Cohere answers 499 where a call was cut off on its side, too, and asks to try it again ("Errors" in its
    /// reference).
    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
        let fault = Fault::refused(status, retry_after, body);
        if status.as_u16() == CUT_OFF {
            fault.of_kind(ErrorKind::Server {
                status: CUT_OFF,
                retry_after,
            })
        } else {
            fault
        }
    }
}
