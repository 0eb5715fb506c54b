//! Follows a run to its end: every entry of its log once and in order, over as many connections as it takes.
//!
//! A connection that is lost, drained (1013) or silent is replaced by another that goes on after the last entry taken.
//! What comes twice is dropped; what would leave a hole is not taken but asked for again. It prints nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::domain::{Cursor, EventType, LogEntry, RunId, Status, Timestamp};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::backoff::Backoff;
use super::error::ClientError;
use super::http::{Client, Outcome};
use super::socket::{self, Socket};
use super::views::ErrorView;
use crate::exit::Code;

/// The server pings every 15 s: after three that did not come it is not there any more.
const SILENCE: Duration = Duration::from_secs(45);
/// A server may ask for a longer pause than ours, up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// An entry of the log, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The frame.
    pub(crate) raw: Utf8Bytes,
    pub(crate) cursor: Cursor,
    /// The event's type. Newer servers may have types this program does not know.
    pub(crate) name: String,
    pub(crate) at: Timestamp,
    /// The event's data: a JSON object.
    pub(crate) data: Arc<str>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    cursor: Cursor,
    #[serde(rename = "type")]
    name: String,
    at: Timestamp,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Entry {
    fn parse(raw: Utf8Bytes) -> Result<Self, serde_json::Error> {
        let Frame {
            cursor,
            name,
            at,
            data,
        } = serde_json::from_str(&raw)?;
        Ok(Self {
            cursor,
            name,
            at,
            data: data.get().into(),
            raw,
        })
    }

    /// Its type, when this program knows it.
    pub(crate) fn kind(&self) -> Option<EventType> {
        self.name.parse().ok()
    }

    /// The entry as the folds take it, when this program knows its type.
    pub(crate) fn known(&self) -> Option<LogEntry> {
        Some(LogEntry {
            cursor: self.cursor,
            kind: self.kind()?,
            at: self.at,
            data: Arc::clone(&self.data),
        })
    }
}

/// What following yields.
#[derive(Debug)]
pub(crate) enum Step {
    /// The next entry.
    Entry(Entry),
    /// The connection is gone; another is tried when the follower is asked for the next step.
    Lost {
        /// Why, in a few words.
        why: String,
    },
    /// The run has ended, and all of its log was given out.
    Ended(End),
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) error: Option<ErrorView>,
}

/// Why a run could not be followed to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The server refused the stream, or was not there when it was first asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server ended the stream with a code that forbids to come back.
    #[error("the server ended the stream: {}", .refusal.why)]
    Closed { refusal: Box<Refusal>, next: String },
    /// The server was away for too long.
    #[error("gave up after {} s without the server: {why}", .patience.as_secs_f64())]
    GaveUp {
        why: String,
        patience: Duration,
        next: String,
    },
    /// A frame is not an entry of a log.
    #[error("the server sent what is not an event: {why}")]
    NotAnEvent { why: String, next: String },
}

/// A close frame that forbids to come back.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) why: String,
}

impl FollowError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Client(error) => error.code(),
            Self::GaveUp { .. } => Code::Unreachable,
            Self::Closed { refusal, .. }
                if matches!(refusal.code, close::UNAUTHORIZED | close::FORBIDDEN) =>
            {
                Code::Auth
            }
            Self::Closed { .. } | Self::NotAnEvent { .. } => Code::Error,
        }
    }

    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Client(error) => error.facts(),
            Self::Closed { refusal, .. } => vec![("close_code", refusal.code.to_string())],
            Self::GaveUp { .. } | Self::NotAnEvent { .. } => Vec::new(),
        }
    }

    pub(crate) fn next(&self) -> &str {
        match self {
            Self::Client(error) => &error.next,
            Self::Closed { next, .. } | Self::GaveUp { next, .. } | Self::NotAnEvent { next, .. } => next,
        }
    }
}

/// Close codes of the stream. 4400 to 4499 follow the HTTP status of the same name: another try says the same.
mod close {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const UNAUTHORIZED: u16 = 4401;
    pub(super) const FORBIDDEN: u16 = 4403;
    pub(super) const UNKNOWN_RUN: u16 = 4404;
    pub(super) const REFUSALS: std::ops::Range<u16> = 4400..4500;
}

/// Follows one run.
#[derive(Debug)]
pub(crate) struct Follower<'c> {
    client: &'c Client,
    run: RunId,
    /// The last entry given out, or where to begin.
    last: Option<Cursor>,
    patience: Duration,
    /// Whether the server is known to be there, and to know the run: then its absence is waited out.
    known: bool,
    socket: Option<Socket>,
    backoff: Backoff,
    pause: Duration,
    away_since: Option<Instant>,
    end: Option<End>,
}

impl<'c> Follower<'c> {
    /// Follows `run` after the cursor, or from its start. `known`: this server has just accepted the run.
    pub(crate) fn new(
        client: &'c Client,
        run: RunId,
        after: Option<Cursor>,
        patience: Duration,
        known: bool,
    ) -> Self {
        Self {
            client,
            run,
            last: after,
            patience,
            known,
            socket: None,
            backoff: Backoff::default(),
            pause: Duration::ZERO,
            away_since: None,
            end: None,
        }
    }

    /// The next step. After [`Step::Ended`] there is none.
    pub(crate) async fn next(&mut self) -> Result<Step, FollowError> {
        loop {
            if let Some(end) = self.end.take() {
                if let Some(socket) = self.socket.take() {
                    socket::close(socket).await;
                }
                return Ok(Step::Ended(end));
            }
            let Some(socket) = &mut self.socket else {
                match self.connect().await? {
                    Some(lost) => return Ok(lost),
                    None => continue,
                }
            };
            match timeout(SILENCE, socket.next()).await {
                Err(_) => return self.lost(format!("nothing came for {} s", SILENCE.as_secs()), None),
                Ok(None) => return self.lost("the connection ended".to_owned(), None),
                Ok(Some(Err(error))) => return self.lost(error.to_string(), None),
                Ok(Some(Ok(Message::Close(frame)))) => {
                    if let Some(step) = self.closed(frame).await? {
                        return Ok(step);
                    }
                }
                Ok(Some(Ok(Message::Text(text)))) => {
                    if let Some(step) = self.take(text)? {
                        return Ok(step);
                    }
                }
                // Pings are answered by the socket itself.
                Ok(Some(Ok(_))) => self.heard(),
            }
        }
    }

    /// Opens a connection, after the pause that is due. Some step when that did not work but may later.
    async fn connect(&mut self) -> Result<Option<Step>, FollowError> {
        sleep(std::mem::take(&mut self.pause)).await;
        match socket::open(self.client, self.run, self.last).await {
            Ok(socket) => {
                self.socket = Some(socket);
                self.known = true;
                Ok(None)
            }
            Err(error) if error.is_passing() || (self.known && error.is_absence()) => {
                self.lost(error.to_string(), error.retry_after()).map(Some)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a frame, unless its entry was given out before.
    fn take(&mut self, text: Utf8Bytes) -> Result<Option<Step>, FollowError> {
        let entry = Entry::parse(text).map_err(|error| FollowError::NotAnEvent {
            why: error.to_string(),
            next: format!(
                "curl {}    (is this a control plane?)",
                self.client.server().at(&["health"])
            ),
        })?;
        let last = self.last.unwrap_or(Cursor::START);
        if entry.cursor <= last {
            self.heard();
            return Ok(None);
        }
        let follows = if entry.cursor.epoch == last.epoch {
            last.seq.checked_add(1)
        } else {
            Some(1)
        };
        if follows != Some(entry.cursor.seq) {
            return self
                .lost(format!("a hole between {last} and {}", entry.cursor), None)
                .map(Some);
        }
        self.heard();
        self.last = Some(entry.cursor);
        self.end = entry
            .kind()
            .and_then(EventType::terminal_status)
            .map(|status| End {
                status,
                error: serde_json::from_str(&entry.data)
                    .ok()
                    .filter(|_| status == Status::Failed),
            });
        Ok(Some(Step::Entry(entry)))
    }

    async fn closed(&mut self, frame: Option<CloseFrame>) -> Result<Option<Step>, FollowError> {
        let (code, reason) = frame.map_or((0, String::new()), |frame| {
            (u16::from(frame.code), frame.reason.to_string())
        });
        if close::REFUSALS.contains(&code) {
            return Err(self.refused(code, reason));
        }
        if code == close::NORMAL {
            // The cursor we came with was the last one: the end itself was not sent again.
            match self.client.result(self.run).await {
                Ok(Outcome::Ended(reply)) => {
                    self.socket = None;
                    self.end = Some(End {
                        status: reply.value.status,
                        error: reply.value.error,
                    });
                    return Ok(None);
                }
                Ok(Outcome::Unfinished(_)) => {}
                Err(error) if error.is_absence() || error.is_passing() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let why = if reason.is_empty() {
            format!("close code {code}")
        } else {
            reason
        };
        self.lost(format!("the server ended the stream before the run: {why}"), None)
            .map(Some)
    }

    fn refused(&self, code: u16, reason: String) -> FollowError {
        let why = match (code, reason.is_empty()) {
            (_, false) => reason,
            (close::UNKNOWN_RUN, true) => format!("no run {}", self.run),
            (_, true) => format!("close code {code}"),
        };
        let server = self.client.server();
        let next = match code {
            close::UNKNOWN_RUN => server.command("list"),
            close::UNAUTHORIZED | close::FORBIDDEN => {
                "use a key that may do this: MCP_API_KEY or --api-key-file FILE".to_owned()
            }
            _ => format!(
                "{}    (from the start)",
                server.command(&format!("tail {}", self.run))
            ),
        };
        FollowError::Closed {
            refusal: Box::new(Refusal { code, why }),
            next,
        }
    }

    /// The server is there.
    fn heard(&mut self) {
        self.away_since = None;
        self.backoff.reset();
    }

    fn lost(&mut self, why: String, retry_after: Option<u64>) -> Result<Step, FollowError> {
        self.socket = None;
        if self.away_since.get_or_insert_with(Instant::now).elapsed() >= self.patience {
            return Err(FollowError::GaveUp {
                why,
                patience: self.patience,
                next: self.go_on(),
            });
        }
        let asked = Duration::from_secs(retry_after.unwrap_or(0)).min(LONGEST_RETRY_AFTER);
        self.pause = self.backoff.pause().max(asked);
        Ok(Step::Lost { why })
    }

    fn go_on(&self) -> String {
        go_on(self.client, self.run, self.last)
    }
}

/// The command that goes on where this one stopped.
pub(crate) fn go_on(client: &Client, run: RunId, after: Option<Cursor>) -> String {
    let after = after
        .map(|cursor| format!(" --after {cursor}"))
        .unwrap_or_default();
    client.server().command(&format!("tail {run}{after}"))
}
