//! What duties and cancels do to a run: one entry in an epoch of its own, and the state that goes with it.

use std::fmt;

use super::Transaction;
use super::bulk::{Change, To, change, insert_entries};
use crate::domain::{
    Cursor, Event, FailureCode, Interruption, LogEntry, RequeueReason, RunCancelled, RunFailed, RunId,
    RunRequeued, Status, Timestamp,
};
use crate::ledger::{Closed, Failure, LedgerError, RunResult};

/// A run that has not ended.
pub(super) struct Open {
    /// The run.
    pub(super) run: RunId,
    /// Its epoch so far.
    pub(super) epoch: u32,
    /// Whether its provider is the simulator.
    pub(super) simulated: bool,
}

/// What becomes of it.
pub(super) enum Fate {
    /// Back to the queue, at once.
    Requeued {
        /// Why.
        reason: RequeueReason,
        /// Whether a crash is counted.
        crashed: bool,
    },
    /// Cancelled.
    Cancelled {
        /// Who asked.
        by: String,
    },
    /// Failed.
    Failed(Failure),
}

/// A run whose worker died.
pub(super) struct Orphan {
    /// Who asked to cancel it.
    pub(super) cancel_by: Option<String>,
    /// Crashes counted before this one.
    pub(super) crashes: u32,
    /// Its policy.
    pub(super) on_interruption: Interruption,
    /// Whether there is output in its log.
    pub(super) has_output: bool,
}

impl Fate {
    /// After a crash. A cancel is honoured before anything else; a run that kills its workers is not given another
    /// one; then its policy decides.
    pub(super) fn after_crash(orphan: Orphan, max_crashes: u32) -> Self {
        let crashes = orphan.crashes.saturating_add(1);
        if let Some(by) = orphan.cancel_by {
            Self::Cancelled { by }
        } else if crashes >= max_crashes {
            let message = format!("{crashes} workers died while they held this run");
            Self::failed(FailureCode::CrashedTooOften, message, true)
        } else if orphan.on_interruption == Interruption::Fail && orphan.has_output {
            Self::failed(
                FailureCode::Interrupted,
                "the worker died in the middle of the answer",
                true,
            )
        } else {
            Self::Requeued {
                reason: RequeueReason::WorkerLost,
                crashed: true,
            }
        }
    }

    /// After its worker lost sight of it.
    pub(super) fn after_release(cancel_by: Option<String>) -> Self {
        cancel_by.map_or(
            Self::Requeued {
                reason: RequeueReason::WorkerLost,
                crashed: false,
            },
            |by| Self::Cancelled { by },
        )
    }

    /// After its deadline.
    pub(super) fn after_deadline() -> Self {
        Self::failed(
            FailureCode::DeadlineExceeded,
            "the deadline passed while the run was queued",
            false,
        )
    }

    fn failed(code: FailureCode, message: impl fmt::Display, retryable: bool) -> Self {
        Self::Failed(Failure {
            code,
            message: message.to_string(),
            retryable,
        })
    }

    fn event(&self, now: Timestamp) -> Event {
        match self {
            Self::Requeued { reason, .. } => Event::RunRequeued(RunRequeued {
                reason: *reason,
                not_before: now,
            }),
            Self::Cancelled { by } => Event::RunCancelled(RunCancelled { by: by.clone() }),
            Self::Failed(failure) => Event::RunFailed(RunFailed {
                code: failure.code,
                message: failure.message.clone(),
                retryable: failure.retryable,
            }),
        }
    }

    /// The result, when it is an end.
    fn result(self) -> Option<RunResult> {
        match self {
            Self::Requeued { .. } => None,
            Self::Cancelled { .. } => Some(RunResult::without_answer(Status::Cancelled, None)),
            Self::Failed(failure) => Some(RunResult::without_answer(Status::Failed, Some(failure))),
        }
    }
}

/// Lets each run meet its fate: entry 1 of the next epoch, the row, and the result of those that end.
pub(super) async fn close(
    transaction: &mut Transaction,
    now: Timestamp,
    fates: Vec<(Open, Fate)>,
) -> Result<Vec<Closed>, LedgerError> {
    let mut closed = Vec::with_capacity(fates.len());
    let mut ends = Vec::with_capacity(fates.len());
    for (open, fate) in fates {
        let event = fate.event(now);
        let entry = LogEntry {
            cursor: Cursor::new(open.epoch + 1, 1),
            kind: event.kind(),
            at: now,
            data: event.to_data(open.simulated),
        };
        closed.push(Closed { run: open.run, entry });
        let crashed = matches!(fate, Fate::Requeued { crashed: true, .. });
        ends.push((crashed, fate.result()));
    }
    let entries: Vec<_> = closed.iter().map(|closed| (closed.run, &closed.entry)).collect();
    insert_entries(transaction, &entries).await?;
    let changes: Vec<Change<'_>> = closed
        .iter()
        .zip(&ends)
        .map(|(closed, (crashed, result))| Change {
            run: closed.run,
            epoch: closed.entry.cursor.epoch,
            to: match result {
                Some(result) => To::End(result),
                None => To::Queue {
                    not_before: now,
                    retried: false,
                    crashed: *crashed,
                },
            },
        })
        .collect();
    change(transaction, now, &changes).await?;
    Ok(closed)
}
