//! A run's log as server-sent events (WHATWG HTML, section 9.2): one event per entry, with the entry's cursor as its
//! `id`, so that a client that lost its connection says by `Last-Event-ID` where to go on.
//!
//! The body is pulled by the connection: a client that does not read costs what fits into the connection's buffers
//! and one page of the watcher, and nobody waits for it.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderName, HeaderValue};
use shared::domain::LogEntry;
use shared::watch::Watcher;

use super::watching::Presence;
use crate::drain::Drain;

/// A comment is sent after so much silence, so that no proxy takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After a broken connection the client waits so long before it comes back.
const RETRY: Duration = Duration::from_secs(1);
/// Asks nginx and those who copied it not to collect the answer before handing it on.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

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
        _presence: Presence::new("sse"),
    };
    let events = Sse::new(stream::unfold(reading, Reading::next));
    (
        [UNBUFFERED],
        events.keep_alive(KeepAlive::new().interval(keep_alive)),
    )
        .into_response()
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nothing was sent yet.
    Opening,
    /// Entries are sent as they come.
    Telling,
    /// The client was told to come back.
    Dismissed,
}

struct Reading {
    stage: Stage,
    first: Option<LogEntry>,
    watcher: Watcher,
    drain: Drain,
    _presence: Presence,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let event = match self.stage {
            Stage::Opening => {
                self.stage = Stage::Telling;
                Event::default().retry(RETRY)
            }
            Stage::Telling => match self.entry().await {
                Told::Entry(entry) => event_of(&entry),
                Told::End => return None,
                Told::Draining => {
                    self.stage = Stage::Dismissed;
                    Event::default()
                        .retry(RETRY)
                        .comment("draining: come back with Last-Event-ID")
                }
            },
            Stage::Dismissed => return None,
        };
        Some((Ok(event), self))
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
}

enum Told {
    Entry(LogEntry),
    End,
    Draining,
}

fn event_of(entry: &LogEntry) -> Event {
    Event::default()
        .id(entry.cursor.to_string())
        .event(entry.kind.as_str())
        .data(entry.to_json())
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
