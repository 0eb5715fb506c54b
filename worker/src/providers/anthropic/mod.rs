//! The Anthropic dialect: `POST {base}/messages`, as Anthropic documents it ("Messages" in its API reference) and as
//! others imitate it.
//!
//! `generation` knows what a model takes by its version; `request` writes the body, with `conversation` for the
//! messages, `tools`, `structure` for `response_format` and `thinking` for `reasoning_effort`; `answer` reads events
//! and whole answers, with `usage` for the counts.
//!
//! **Thinking, from turn to turn.** What the model thinks comes out as `reasoning_content`. Where it is signed, the
//! whole block follows in `thinking_blocks: [{index, type, thinking, signature}]` (`{index, type, data}` for what is
//! encrypted), the name LiteLLM gave this field. An assistant message that is sent back with its `thinking_blocks`
//! goes out with them, unchanged; `reasoning_content` alone cannot be sent, because Anthropic takes signed thinking
//! only.
//!
//! Never sends what a model of that version is documented to refuse where leaving it out does no harm (sampling,
//! penalties, seeds); never leaves out what would change the meaning of an answer.

mod answer;
mod conversation;
mod generation;
mod request;
mod structure;
mod thinking;
mod tools;
mod usage;

use reqwest::header::{HeaderName, HeaderValue};
use shared::catalog::Quirks;

use super::ChatCall;
use super::canonical::Params;
use super::dialect::{Dialect, Outgoing, ReadAnswer};
use super::wire::{Endpoint, Fault};
use answer::MessageReader;
pub(super) use conversation::THINKING_BLOCKS;
pub(super) use generation::Generation;
use structure::Structure;
pub(super) use structure::{INSTRUCTION, closed};
pub(super) use thinking::{Circumstances, Thinking};

const PATH: &str = "messages";
const VERSION_HEADER: &str = "anthropic-version";
/// The version of the API in which requests are written here. The one that followed it takes away parameters and adds
/// none; the settings' header may name it.
const VERSION: &str = "2023-06-01";

/// A server that speaks Anthropic's Messages.
#[derive(Debug)]
pub(super) struct Anthropic {
    quirks: Quirks,
}

impl Anthropic {
    /// With the peculiarities of one server.
    pub(super) fn new(quirks: Quirks) -> Self {
        Self { quirks }
    }
}

impl Dialect for Anthropic {
    fn request(&self, call: &ChatCall<'_>, endpoint: &Endpoint) -> Result<Outgoing, Fault> {
        let path = self.quirks.chat_path.as_deref().unwrap_or(PATH);
        Ok(Outgoing {
            url: endpoint.below(path.trim_matches('/').split('/')),
            headers: vec![(
                HeaderName::from_static(VERSION_HEADER),
                HeaderValue::from_static(VERSION),
            )],
            body: request::body(call, &self.quirks)?,
        })
    }

    fn reader(&self, call: &ChatCall<'_>) -> Box<dyn ReadAnswer> {
        // What the request could not be written with was refused before.
        let structure = Structure::of(&Params::new(call.params), Generation::of(call.model));
        let by_tool = matches!(structure, Ok(Structure::ByTool(_)));
        Box::new(MessageReader::new(by_tool, call.beginning))
    }

    /// Models before Claude 4.6 go on from an assistant message that stands last; later ones refuse it. Source:
    /// "Prefill not supported" in Anthropic's list of errors.
    fn can_continue(&self, model: &str) -> bool {
        Generation::of(model).goes_on()
    }
}
