//! A stretch of a run's log as one JSON document, for who would rather ask now and then than keep a connection.

use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::{Cursor, LogEntry, RunId};
use shared::ledger::Log;
use shared::watch::WatchError;
use utoipa::ToSchema;

use crate::problem::Problem;

/// Entries of a run's log, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    events: Vec<LogEvent>,
    /// Where to go on: the `after` of the next request. Null once the run's last event was handed out.
    #[schema(example = "1-7")]
    next: Option<String>,
    /// Whether the run has ended and nothing can follow.
    terminal: bool,
}

/// One entry of a run's log. Every transport hands out the same text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogEvent {
    /// Its address in the log; keep the latest one to go on from there.
    #[schema(example = "1-7")]
    cursor: String,
    /// `run.queued`, `attempt.started`, `route.selected`, `provider.failed`, `output.delta`, `usage.reported`,
    /// `run.requeued`, `run.succeeded`, `run.failed` or `run.cancelled`.
    #[serde(rename = "type")]
    #[schema(example = "output.delta")]
    kind: &'static str,
    /// When it was written, RFC 3339.
    #[schema(format = DateTime, example = "2026-01-01T12:00:00.000Z")]
    at: String,
    /// What it says; the fields depend on the type.
    #[schema(value_type = Object, example = json!({"text": "Hello"}))]
    data: Box<RawValue>,
}

impl LogEvent {
    fn of(entry: &LogEntry) -> Result<Self, serde_json::Error> {
        Ok(Self {
            cursor: entry.cursor.to_string(),
            kind: entry.kind.as_str(),
            at: entry.at.to_string(),
            data: RawValue::from_string(entry.data.to_string())?,
        })
    }
}

impl EventPage {
    /// Up to `limit` entries (fewer when they are large) that follow a cursor the log issued, or the beginning.
    pub(super) async fn read(log: &dyn Log, run: RunId, after: Cursor, limit: u32) -> Result<Self, Problem> {
        let mut last = None;
        if after != Cursor::START {
            let before = Cursor::new(after.epoch, after.seq.saturating_sub(1));
            let found = log.entries(run, before, 1).await?;
            last = Some(
                found
                    .into_iter()
                    .find(|entry| entry.cursor == after)
                    .ok_or(WatchError::UnknownCursor(after))?,
            );
        }
        let entries = log.entries(run, after, limit).await?;
        let events = entries.iter().map(LogEvent::of).collect::<Result<_, _>>();
        let events = events.map_err(|error| Problem::internal(&error))?;
        last = entries.into_iter().last().or(last);
        let terminal = last
            .as_ref()
            .is_some_and(|entry| entry.kind.terminal_status().is_some());
        let next = last.map_or(after, |entry| entry.cursor);
        Ok(Self {
            events,
            next: (!terminal).then(|| next.to_string()),
            terminal,
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::{EventType, Timestamp};

    use super::*;

    #[test]
    fn a_page_says_the_same_as_every_other_transport() {
        let entry = LogEntry {
            cursor: Cursor::new(3, 14),
            kind: EventType::OutputDelta,
            at: Timestamp::from_millis(1_700_000_000_120),
            data: r#"{ "text": "a\u0000b",  "n":1.50 }"#.into(),
        };
        assert_eq!(
            serde_json::to_string(&LogEvent::of(&entry).unwrap()).unwrap(),
            entry.to_json()
        );
    }
}
