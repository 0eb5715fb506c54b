//! The fold over a log: what a run's answer is, with the void parts left out. Every surface is a fold like this.

use serde_json::{Map, Value};

use super::{Answer, Cursor, Event, LogEntry, OutputDelta, Status};

/// What a reader of the log knows so far.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    pieces: Vec<(Cursor, OutputDelta)>,
    provider_metadata: Map<String, Value>,
    status: Option<Status>,
    last: Option<Cursor>,
}

impl Transcript {
    /// Takes the next entry of the log.
    ///
    /// # Errors
    /// When the entry's data is not what its type promises.
    pub fn apply(&mut self, entry: &LogEntry) -> Result<(), serde_json::Error> {
        match entry.event()? {
            Event::OutputDelta(piece) => self.pieces.push((entry.cursor, piece)),
            Event::AttemptStarted(started) => {
                if let Some(void_after) = started.void_after {
                    self.pieces.retain(|(cursor, _)| *cursor <= void_after);
                }
            }
            Event::RunSucceeded(succeeded) => self.provider_metadata = succeeded.provider_metadata,
            _ => {}
        }
        self.status = entry.kind.terminal_status().or(self.status);
        self.last = Some(entry.cursor);
        Ok(())
    }

    /// The answer so far.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut answer = Answer {
            provider_metadata: self.provider_metadata.clone(),
            ..Answer::default()
        };
        self.pieces.iter().for_each(|(_, piece)| answer.push(piece));
        answer
    }

    /// How the run ended, once it has.
    #[must_use]
    pub const fn terminal_status(&self) -> Option<Status> {
        self.status
    }

    /// The latest entry taken.
    #[must_use]
    pub const fn last(&self) -> Option<Cursor> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttemptStarted, RunSucceeded, Timestamp, WorkerId};

    fn entry(epoch: u32, seq: u32, event: &Event) -> LogEntry {
        LogEntry {
            cursor: Cursor::new(epoch, seq),
            kind: event.kind(),
            at: Timestamp::from_millis(0),
            data: event.to_data(false),
        }
    }

    fn started(attempt: u32, void_after: Option<Cursor>) -> Event {
        Event::AttemptStarted(AttemptStarted {
            attempt,
            worker: WorkerId::new(),
            void_after,
        })
    }

    #[test]
    fn a_rewind_takes_back_what_came_after_its_cursor_and_nothing_else() {
        let mut transcript = Transcript::default();
        for (cursor, event) in [
            ((1, 1), started(1, None)),
            ((1, 2), Event::OutputDelta(OutputDelta::text("kept "))),
            ((1, 3), Event::OutputDelta(OutputDelta::text("void"))),
            ((3, 1), started(2, Some(Cursor::new(1, 2)))),
            ((3, 2), Event::OutputDelta(OutputDelta::text("again"))),
            (
                (3, 3),
                Event::RunSucceeded(RunSucceeded {
                    finish_reason: "stop".to_owned(),
                    provider_metadata: Map::new(),
                }),
            ),
        ] {
            transcript.apply(&entry(cursor.0, cursor.1, &event)).unwrap();
        }
        assert_eq!(transcript.answer().text, "kept again");
        assert_eq!(transcript.terminal_status(), Some(Status::Succeeded));
        assert_eq!(transcript.last(), Some(Cursor::new(3, 3)));
    }
}
