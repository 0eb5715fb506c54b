//! Carrying out what a duty or a cancel decided about a run: one entry in an epoch of its own, and the state that goes
//! with it.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::bulk::{Change, To, change, insert_entries};
use super::{Transaction, decode};
use crate::domain::{Cursor, Event, LogEntry, RunCancelled, RunId, Status, Timestamp};
use crate::ledger::upkeep::{Stranded, Verdict};
use crate::ledger::{Closed, LedgerError, RunResult};

/// From the columns `id`, `tenant`, `class`, `epoch`, `crashes`, `on_interruption`, `cancel_by`, `simulated`, `visible`.
pub(super) fn stranded(row: &SqliteRow, now: Timestamp) -> Result<Stranded, LedgerError> {
    Ok(Stranded {
        run: decode::run(row, "id")?,
        tenant: decode::tenant(row, "tenant")?,
        class: decode::named(row, "class")?,
        epoch: row.try_get("epoch")?,
        crashes: row.try_get("crashes")?,
        on_interruption: decode::named(row, "on_interruption")?,
        cancel_by: row.try_get("cancel_by")?,
        simulated: row.try_get("simulated")?,
        visible: row.try_get("visible")?,
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
pub(super) async fn carry_out(
    transaction: &mut Transaction,
    now: Timestamp,
    verdicts: Vec<Verdict>,
) -> Result<Vec<Closed>, LedgerError> {
    let mut closed = Vec::with_capacity(verdicts.len());
    let mut ends = Vec::with_capacity(verdicts.len());
    for verdict in verdicts {
        closed.push(verdict.closed);
        let ended = verdict.status.is_terminal();
        ends.push((
            verdict.crash,
            ended.then(|| RunResult::without_answer(verdict.status, verdict.failure)),
        ));
    }
    let entries: Vec<_> = closed.iter().map(|closed| (closed.run, &closed.entry)).collect();
    insert_entries(transaction, &entries).await?;
    let changes: Vec<Change<'_>> = closed
        .iter()
        .zip(&ends)
        .map(|(closed, (crashed, result))| Change {
            run: closed.run,
            epoch: closed.entry.cursor.epoch,
            crashed: *crashed,
            to: match result {
                Some(result) => To::End(result),
                None => To::Queue {
                    not_before: now,
                    retried: false,
                },
            },
        })
        .collect();
    change(transaction, now, &changes).await?;
    Ok(closed)
}
