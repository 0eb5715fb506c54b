//! Reads an answer as it comes. Complete means that the provider said why it stopped and then ended, or fell silent
//! with nothing left to say but the usage; every other end is an error. Owns the connection and nothing else: there
//! is no task behind it, so dropping it ends the call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, Version};
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::assembly::Assembly;
use super::chunk::{self, Chunk};
use super::fault::{Fault, Origin};
use super::patience::Patience;
use super::sse::SseReader;
use crate::providers::{ChatPiece, ErrorKind, Phase, ProviderError, Usage};

/// Of one line or event of a stream.
const MOST_EVENT_BYTES: usize = 1024 * 1024;
/// Of a whole answer, everything counted.
const MOST_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// After the last event, how long to wait for the end of the response, which lets the connection be used again. Half
/// a round trip inside a data centre; a new TLS connection costs several of any length.
const LINGER: Duration = Duration::from_millis(5);

/// The form in which the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As server-sent events.
    Events,
    /// As one JSON object.
    Whole,
}

#[derive(Debug)]
enum Source {
    Events(SseReader),
    Whole(Vec<u8>),
}

#[derive(Debug)]
enum State {
    Reading,
    /// Complete; the response may still have to end.
    Lingering,
    Complete,
    Failed(ProviderError),
}

/// An answer on its way. Read it with [`ChatStream::next`] to the end; drop it to cancel the call.
#[derive(Debug)]
pub struct ChatStream {
    response: Option<Response>,
    source: Source,
    state: State,
    received: usize,
    patience: Patience,
    assembly: Assembly,
    origin: Arc<Origin>,
    request_id: Option<String>,
    simulated: bool,
}

impl ChatStream {
    pub(super) fn new(
        response: Response,
        format: Format,
        patience: Patience,
        expected: usize,
        origin: Arc<Origin>,
        request_id: Option<String>,
        simulated: bool,
    ) -> Self {
        let source = match format {
            Format::Events => Source::Events(SseReader::new(MOST_EVENT_BYTES)),
            Format::Whole => Source::Whole(Vec::new()),
        };
        Self {
            response: Some(response),
            source,
            state: State::Reading,
            received: 0,
            patience,
            assembly: Assembly::new(expected),
            origin,
            request_id,
            simulated,
        }
    }

    /// Whether the answer comes from the simulator.
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.simulated
    }

    /// The id the provider gave the call, for its support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The usage reported so far. For calls that fail: a whole answer hands it on as its last piece.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.assembly.reported_usage()
    }

    /// What the provider said beside the answer so far (`id`, `model`, `system_fingerprint`, `service_tier`, fields
    /// we do not know), each as it was written; at most 32 fields and 16 KiB.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, Box<RawValue>> {
        self.assembly.reported_metadata()
    }

    /// The next piece; none once the answer is complete. May be dropped and called again without losing anything.
    ///
    /// # Errors
    /// When the answer is not complete and will not be. Pieces handed out before are then a part of nothing; an empty
    /// answer is found out at its end, after its other pieces. The connection is closed, and every further call
    /// returns the same error.
    pub async fn next(&mut self) -> Result<Option<ChatPiece>, ProviderError> {
        loop {
            if let Some(piece) = self.assembly.pop() {
                return Ok(Some(piece));
            }
            match &self.state {
                State::Reading => {
                    if let Err(fault) = self.advance().await {
                        self.fail(fault);
                    }
                }
                State::Lingering => {
                    self.linger().await;
                    self.response = None;
                    self.state = State::Complete;
                }
                State::Complete => return Ok(None),
                State::Failed(error) => return Err(error.clone()),
            }
        }
    }

    /// Takes what has come, or waits for more. Either pieces are ready afterwards, or the state has changed, or it is
    /// to be called again.
    async fn advance(&mut self) -> Result<(), Fault> {
        if let Source::Events(reader) = &mut self.source
            && let Some(event) = reader
                .next_event()
                .map_err(|error| Fault::too_large(error.to_string()))?
        {
            let last = take_event(event.name, event.data, &mut self.assembly)?;
            self.patience.heard(self.assembly.has_output());
            return if last { self.done() } else { Ok(()) };
        }
        match self.receive().await {
            Ok(Some(bytes)) => self.take_bytes(&bytes),
            Ok(None) => self.end(),
            // All is said but the usage: what ends the connection now ends the answer too.
            Err(_) if self.assembly.is_all() => {
                self.complete();
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// The next bytes of the body; none at its proper end.
    async fn receive(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        if self.patience.is_over() {
            return Err(Fault::timeout(Phase::Total));
        }
        match self.patience.wait_for(response.chunk()).await {
            Ok(bytes) => bytes.map_err(Fault::cut),
            Err(phase) => Err(Fault::timeout(phase)),
        }
    }

    fn take_bytes(&mut self, bytes: &Bytes) -> Result<(), Fault> {
        self.received += bytes.len();
        if self.received > MOST_ANSWER_BYTES {
            return Err(Fault::too_large(format!(
                "an answer of more than {MOST_ANSWER_BYTES} bytes"
            )));
        }
        match &mut self.source {
            Source::Events(reader) => reader.push(bytes),
            Source::Whole(body) => body.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// The body has ended without being cut.
    fn end(&mut self) -> Result<(), Fault> {
        match &mut self.source {
            Source::Events(reader) => {
                if let Some(event) = reader
                    .last_event()
                    .map_err(|error| Fault::too_large(error.to_string()))?
                {
                    let last =
                        take_event(event.name, event.data, &mut self.assembly).map_err(Fault::at_the_end)?;
                    if last {
                        return self.done();
                    }
                }
                if self.assembly.is_all() {
                    self.finish()
                } else {
                    Err(Fault::interrupted("the stream ended before a finish_reason"))
                }
            }
            Source::Whole(body) => {
                let body = std::mem::take(body);
                take_json(&body, &mut self.assembly).map_err(|fault| {
                    if ends_early(&body) {
                        fault.at_the_end()
                    } else {
                        fault
                    }
                })?;
                self.done()
            }
        }
    }

    /// The provider says that this is all.
    fn done(&mut self) -> Result<(), Fault> {
        if self.assembly.is_finished() {
            self.finish()
        } else if self.assembly.has_output() {
            Err(Fault::interrupted("it ended its answer without a finish_reason"))
        } else {
            Err(Fault::new(
                ErrorKind::EmptyAnswer,
                "it ended its answer without having begun it",
            ))
        }
    }

    fn finish(&mut self) -> Result<(), Fault> {
        if self.assembly.is_empty() {
            return Err(Fault::new(
                ErrorKind::EmptyAnswer,
                "it finished without any output",
            ));
        }
        self.complete();
        Ok(())
    }

    fn complete(&mut self) {
        self.assembly.push_usage();
        self.state = State::Lingering;
    }

    fn fail(&mut self, fault: Fault) {
        self.response = None;
        self.assembly.discard_pieces();
        self.state = State::Failed(self.origin.explain(fault, self.request_id.as_deref()));
    }

    /// Reads the end of the response, so that HTTP/1.1 keeps the connection. HTTP/2 does not need it.
    async fn linger(&mut self) {
        let Some(response) = self
            .response
            .as_mut()
            .filter(|response| response.version() < Version::HTTP_2)
        else {
            return;
        };
        let ended = async { while let Ok(Some(_)) = response.chunk().await {} };
        // Not ended in time: the connection is given up, nothing else is lost.
        let _ = tokio::time::timeout(LINGER, ended).await;
    }
}

/// Takes one event of a stream; whether it was the last.
fn take_event(name: &[u8], data: &[u8], assembly: &mut Assembly) -> Result<bool, Fault> {
    let data = data.trim_ascii();
    match data {
        b"[DONE]" => Ok(true),
        // Some servers keep the line alive this way.
        b"" => Ok(false),
        _ if name == b"error" => Err(reported_in(data)),
        _ => take_json(data, assembly).map(|()| false),
    }
}

fn reported_in(data: &[u8]) -> Fault {
    match serde_json::from_slice::<Value>(data) {
        Ok(value) => Fault::reported(value.get("error").unwrap_or(&value)),
        Err(_) => Fault::reported(&Value::String(String::from_utf8_lossy(data).into_owned())),
    }
}

/// Whether a JSON text is the beginning of one.
fn ends_early(json: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(json).is_err_and(|error| error.is_eof())
}

/// Takes a chunk or a whole answer.
fn take_json(json: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
    let text = std::str::from_utf8(json).map_err(|error| Fault::malformed(format!("not UTF-8: {error}")))?;
    match chunk::read(text, assembly) {
        Ok(Chunk::Part) => Ok(()),
        Ok(Chunk::Error(error)) => Err(Fault::reported(&error)),
        // The error's own text may quote the answer, which is not for the log.
        Err(error) => Err(Fault::malformed(format!(
            "{} bytes that are not a chat completion: {:?} error at line {} column {}",
            json.len(),
            error.classify(),
            error.line(),
            error.column()
        ))),
    }
}
