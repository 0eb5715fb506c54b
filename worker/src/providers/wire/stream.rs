//! Reads an answer as it comes. Complete means that the provider said why it stopped and then ended, or fell silent
//! with nothing left to say but the usage; every other end is an error. Owns the connection and nothing else: there
//! is no task behind it, so dropping it ends the call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, Version};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::assembly::Assembly;
use super::fault::Fault;
use super::framing::{Event, Events};
use super::keys::KeyIndex;
use super::origin::{Circumstances, Origin};
use super::patience::Patience;
use crate::providers::dialect::{Flow, Framing, ReadAnswer};
use crate::providers::{ChatPiece, ErrorKind, Headroom, Phase, ProviderError, Usage};

/// Of a whole answer, everything counted.
const MOST_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// After the last event, how long to wait for the end of the response, which lets the connection be used again. Half
/// a round trip inside a data centre; a new TLS connection costs several of any length.
const LINGER: Duration = Duration::from_millis(5);

/// The form in which the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// In events.
    Events(Framing),
    /// As one JSON object.
    Whole,
}

#[derive(Debug)]
enum Source {
    Events(Events),
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
    reader: Box<dyn ReadAnswer>,
    origin: Arc<Origin>,
    circumstances: Circumstances,
}

impl ChatStream {
    pub(super) fn new(
        response: Response,
        format: Format,
        reader: Box<dyn ReadAnswer>,
        patience: Patience,
        expected: usize,
        origin: Arc<Origin>,
        circumstances: Circumstances,
    ) -> Self {
        let source = match format {
            Format::Events(framing) => Source::Events(Events::new(framing)),
            Format::Whole => Source::Whole(Vec::new()),
        };
        Self {
            response: Some(response),
            source,
            state: State::Reading,
            received: 0,
            patience,
            assembly: Assembly::new(expected),
            reader,
            origin,
            circumstances,
        }
    }

    /// Whether the answer comes from the simulator.
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.circumstances.simulated
    }

    /// The id the provider gave the call, for its support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.circumstances.request_id.as_deref()
    }

    /// What the provider said of the limits of the key, at the head of its answer.
    #[must_use]
    pub fn headroom(&self) -> &Headroom {
        &self.circumstances.headroom
    }

    /// The key the call was made with.
    #[must_use]
    pub fn key(&self) -> KeyIndex {
        self.circumstances.key
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
        if let Source::Events(events) = &mut self.source
            && let Some(event) = events.next()?
        {
            let flow = take(&event, &mut *self.reader, &mut self.assembly)?;
            self.patience.heard(self.assembly.has_output());
            return match flow {
                Flow::More => Ok(()),
                Flow::Done => self.done(),
            };
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
            Source::Events(events) => events.push(bytes),
            Source::Whole(body) => body.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// The body has ended without being cut.
    fn end(&mut self) -> Result<(), Fault> {
        match &mut self.source {
            Source::Events(events) => {
                if let Some(event) = events.last()? {
                    let flow =
                        take(&event, &mut *self.reader, &mut self.assembly).map_err(Fault::at_the_end)?;
                    if flow == Flow::Done {
                        return self.done();
                    }
                }
                self.reader.end(&mut self.assembly)?;
                self.finish()
            }
            Source::Whole(body) => {
                let body = std::mem::take(body);
                let taken = self.reader.whole(&body, &mut self.assembly);
                taken.map_err(|fault| {
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
        self.state = State::Failed(self.origin.explain(fault, &self.circumstances));
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

/// Takes one event of a stream.
fn take(event: &Event<'_>, reader: &mut dyn ReadAnswer, assembly: &mut Assembly) -> Result<Flow, Fault> {
    if event.is_error {
        return Err(reader.error(event.name, event.data));
    }
    if event.data.is_empty() {
        return Ok(Flow::More);
    }
    reader.event(event.name, event.data, assembly)
}

/// Whether a JSON text is the beginning of one.
fn ends_early(json: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(json).is_err_and(|error| error.is_eof())
}
