//! A run's log as server-sent events (WHATWG HTML, section 9.2): one event per entry, with the entry's cursor as its
//! `id`, so that a client that lost its connection says by `Last-Event-ID` where to go on.
//!
//! The body is pulled by the connection: a client that does not read costs what fits into the connection's buffers
//! and one page of the watcher, and nobody waits for it.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, header};
use shared::domain::LogEntry;
use shared::watch::Watcher;
use tokio::time::timeout;

use super::watching::Presence;
use crate::drain::Drain;

/// A comment is sent after so much silence, so that no proxy takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After a broken connection the client waits so long before it comes back, in milliseconds.
const OPENING: &str = "retry: 1000\n\n";
const DISMISSAL: &str = ": draining: come back with Last-Event-ID\nretry: 1000\n\n";
const SILENCE: &str = ":\n\n";
/// The last one asks nginx and those who copied it not to collect the answer before handing it on.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    ),
];
/// What is at hand is written in one piece of up to about so many bytes.
const PIECE: usize = 64 * 1024;

/// Everything the watcher brings, until the terminal event or until this process drains.
pub(crate) fn sse_response(watcher: Watcher, drain: Drain) -> Response {
    respond(None, watcher, drain, KEEP_ALIVE)
}

/// The same for a watcher whose first entry was taken out already.
pub(super) fn sse_response_from(first: LogEntry, watcher: Watcher, drain: Drain) -> Response {
    respond(Some(first), watcher, drain, KEEP_ALIVE)
}

fn respond(first: Option<LogEntry>, watcher: Watcher, drain: Drain, keep_alive: Duration) -> Response {
    let reading = Reading {
        stage: Stage::Opening,
        first,
        watcher,
        drain,
        keep_alive,
        _presence: Presence::new("sse"),
    };
    let pieces = stream::unfold(reading, Reading::next);
    (HEADERS, Body::from_stream(pieces)).into_response()
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nothing was sent yet.
    Opening,
    /// Entries are sent as they come.
    Telling,
    /// The last entry was sent, or the client was told to come back.
    Over,
}

struct Reading {
    stage: Stage,
    first: Option<LogEntry>,
    watcher: Watcher,
    drain: Drain,
    keep_alive: Duration,
    _presence: Presence,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let piece = match self.stage {
            Stage::Opening => {
                self.stage = Stage::Telling;
                Bytes::from_static(OPENING.as_bytes())
            }
            Stage::Telling => match timeout(self.keep_alive, self.entry()).await {
                Ok(Told::Entry(entry)) => self.piece(&entry).await,
                Ok(Told::End) => return None,
                Ok(Told::Draining) => {
                    self.stage = Stage::Over;
                    Bytes::from_static(DISMISSAL.as_bytes())
                }
                Err(_) => Bytes::from_static(SILENCE.as_bytes()),
            },
            Stage::Over => return None,
        };
        Some((Ok(piece), self))
    }

    async fn entry(&mut self) -> Told {
        if let Some(first) = self.first.take() {
            return Told::Entry(first);
        }
        tokio::select! {
            biased;
            () = self.drain.draining() => Told::Draining,
            entry = self.watcher.next() => entry.map_or(Told::End, Told::Entry),
        }
    }

    /// This entry, and what else is at hand.
    async fn piece(&mut self, entry: &LogEntry) -> Bytes {
        let mut piece = String::with_capacity(256 + entry.data.len());
        write(&mut piece, entry);
        while self.watcher.buffered() > 0 && piece.len() < PIECE {
            // Does not wait: it is buffered.
            match self.watcher.next().await {
                Some(entry) => write(&mut piece, &entry),
                None => break,
            }
        }
        piece.into()
    }
}

enum Told {
    Entry(LogEntry),
    End,
    Draining,
}

/// The entry as an event. JSON is written without line breaks here: inside a text they are escaped.
fn write(piece: &mut String, entry: &LogEntry) {
    debug_assert!(!entry.data.contains(['\n', '\r']), "one line of JSON: {entry:?}");
    // Writing to a String cannot fail.
    let _ = write!(piece, "id: {}\nevent: {}\ndata: ", entry.cursor, entry.kind);
    entry.write_json(piece);
    piece.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use shared::domain::Cursor;
    use shared::watch::Watch;

    use super::*;
    use crate::stage::Stage;

    #[tokio::test]
    async fn silence_is_filled_with_comments() {
        let stage = Stage::open().await;
        let run = stage.accept("local").await;
        let watch = Watch::new(Arc::clone(&stage.ledger.log), Arc::clone(&stage.feed.subscribe));
        let watcher = watch.open(run, Cursor::START).await.unwrap();
        let response = respond(None, watcher, Drain::default(), Duration::from_millis(5));
        let mut body = response.into_body().into_data_stream();
        let mut comments = 0;
        while comments < 3 {
            comments += u32::from(body.next().await.unwrap().unwrap().starts_with(b":"));
        }
        // What comes after is as it would have been.
        let attempt = stage.start(run).await;
        attempt.succeed("").await;
        let mut rest = Vec::new();
        while let Some(chunk) = body.next().await {
            rest.extend_from_slice(&chunk.unwrap());
        }
        let rest = String::from_utf8(rest).unwrap();
        assert!(
            rest.contains("event: attempt.started") && rest.trim_end().contains("event: run.succeeded"),
            "{rest}"
        );
    }
}
