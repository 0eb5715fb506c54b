//! Carrying out what a duty or a cancel decided about a run: one entry in an epoch of its own, and the state that goes
//! with it.

use rusqlite::{Connection, Row};

use super::decode;
use super::rows::{Change, To, change, insert_entry};
use crate::domain::{Cursor, Event, LogEntry, RunCancelled, RunId, Status, Timestamp};
use crate::ledger::upkeep::{Stranded, Verdict};
use crate::ledger::{Closed, LedgerError, RunResult};

/// From the columns `id`, `tenant`, `class`, `epoch`, `crashes`, `on_interruption`, `cancel_by`, `simulated`, `visible`.
pub(super) fn stranded(row: &Row<'_>, now: Timestamp) -> Result<Stranded, LedgerError> {
    Ok(Stranded {
        run: decode::run(row, "id")?,
        tenant: decode::tenant(row, "tenant")?,
        class: decode::named(row, "class")?,
        epoch: row.get("epoch")?,
        crashes: row.get("crashes")?,
        on_interruption: decode::named(row, "on_interruption")?,
        cancel_by: row.get("cancel_by")?,
        simulated: row.get("simulated")?,
        visible: row.get("visible")?,
        now,
    })
}

/// Entry 1 of the epoch after `epoch`: somebody asked to cancel.
pub(super) fn cancellation(epoch: u32, by: &str, simulated: bool, now: Timestamp) -> LogEntry {
    let event = Event::RunCancelled(RunCancelled { by: by.to_owned() });
    let cursor = Cursor::new(epoch + 1, 1);
    LogEntry {
        cursor,
        kind: event.kind(),
        at: now,
        data: event.to_data(simulated),
    }
}

/// The verdict on a queued run that somebody asked to cancel.
pub(super) fn cancelled(run: RunId, entry: LogEntry) -> Verdict {
    Verdict {
        closed: Closed {
            run,
            entry,
            requeued: None,
        },
        status: Status::Cancelled,
        crash: false,
        failure: None,
    }
}

/// Writes the entries, the rows, and the results of the runs that end.
pub(super) fn carry_out(
    connection: &Connection,
    now: Timestamp,
    verdicts: Vec<Verdict>,
) -> Result<Vec<Closed>, LedgerError> {
    let mut done = Vec::with_capacity(verdicts.len());
    for verdict in verdicts {
        let closed = verdict.closed;
        insert_entry(connection, closed.run, &closed.entry)?;
        let result = RunResult::without_answer(verdict.status, verdict.failure);
        let to = if verdict.status.is_terminal() {
            To::End(&result)
        } else {
            To::Queue {
                not_before: now,
                failed_calls: 0,
                waits_until: None,
            }
        };
        let changed = Change {
            run: closed.run,
            epoch: closed.entry.cursor.epoch,
            crashed: verdict.crash,
            to,
        };
        change(connection, now, &changed)?;
        done.push(closed);
    }
    Ok(done)
}
