//! What runs have appended and the writer has not taken yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::domain::{Cursor, Event, LogEntry, OutputDelta, RunId, Timestamp};
use shared::ledger::{Then, Write};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use super::JournalError;

/// Output of one run that does not wait for the tick.
const URGENT_BYTES: usize = 1024;

type Reply = oneshot::Sender<Result<(), JournalError>>;

/// What one run has appended.
struct Buffer {
    epoch: u32,
    simulated: bool,
    /// Of the next entry.
    next_seq: u32,
    pending: Vec<Event>,
    /// Weight of the pending output.
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    urgent: bool,
    close: Option<(Then, Reply)>,
    /// Why nothing more can be appended; an end can still be tried after a refusal.
    broken: Option<JournalError>,
}

/// One run's part of a commit, and who waits for it.
pub(super) struct Taken {
    pub(super) write: Write,
    pub(super) reply: Option<Reply>,
    /// Gives the budget back when dropped.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Which runs a commit takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Those that cannot wait.
    Urgent,
    /// All.
    Everything,
}

/// What waits for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Waiting {
    /// Something that may wait for the tick.
    pub(super) patient: bool,
    /// Something that may not.
    pub(super) urgent: bool,
}

/// The buffers of all runs.
#[derive(Default)]
pub(super) struct Buffers {
    runs: Mutex<HashMap<RunId, Buffer>>,
    changed: Notify,
}

impl Buffers {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Buffer>> {
        // Every critical section leaves the map consistent, so a panic elsewhere does not spoil it.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self, run: RunId, epoch: u32, simulated: bool) {
        let buffer = Buffer {
            epoch,
            simulated,
            next_seq: 2,
            pending: Vec::new(),
            bytes: 0,
            permit: None,
            urgent: false,
            close: None,
            broken: None,
        };
        self.runs().insert(run, buffer);
    }

    /// Forgets what a claim has appended. The run may have been given back and claimed here again by now: that is another
    /// epoch, whose buffer stays.
    pub(super) fn forget(&self, run: RunId, epoch: u32) {
        let mut runs = self.runs();
        if runs.get(&run).is_some_and(|buffer| buffer.epoch == epoch) {
            runs.remove(&run);
        }
    }

    /// Waits until something was appended since the last call. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Appends an event that may wait for the tick: what makes it worth seeing comes right behind it.
    pub(super) fn push(&self, run: RunId, event: Event) -> Result<(), JournalError> {
        let mut runs = self.runs();
        let buffer = live(&mut runs, run)?;
        buffer.pending.push(event);
        drop(runs);
        self.changed.notify_one();
        Ok(())
    }

    /// Appends output; it joins output that waits already.
    pub(super) fn push_delta(
        &self,
        run: RunId,
        piece: OutputDelta,
        permit: OwnedSemaphorePermit,
        first: bool,
    ) -> Result<(), JournalError> {
        let mut runs = self.runs();
        let buffer = live(&mut runs, run)?;
        buffer.bytes += piece.weight();
        match &mut buffer.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        let was_waiting = buffer.urgent || !buffer.pending.is_empty();
        match buffer.pending.last_mut() {
            Some(Event::OutputDelta(before)) => before.absorb(piece),
            _ => buffer.pending.push(Event::OutputDelta(piece)),
        }
        let urgent = first || buffer.bytes >= URGENT_BYTES;
        let news = !was_waiting || (urgent && !buffer.urgent);
        buffer.urgent |= urgent;
        drop(runs);
        if news {
            self.changed.notify_one();
        }
        Ok(())
    }

    pub(super) fn close(
        &self,
        run: RunId,
        event: Event,
        then: Then,
        reply: Reply,
    ) -> Result<(), JournalError> {
        let mut runs = self.runs();
        let buffer = runs.get_mut(&run).ok_or(JournalError::Fenced)?;
        if buffer.broken == Some(JournalError::Fenced) {
            return Err(JournalError::Fenced);
        }
        buffer.pending.push(event);
        buffer.urgent = true;
        buffer.close = Some((then, reply));
        drop(runs);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for buffer in self.runs().values().filter(|buffer| !buffer.pending.is_empty()) {
            waiting.urgent |= buffer.urgent;
            waiting.patient |= !buffer.urgent;
        }
        waiting
    }

    /// Takes what is due, stamped and numbered. Output that stands alone before an end stays with it.
    pub(super) fn take(&self, due: Due, now: Timestamp) -> Vec<Taken> {
        let mut taken = Vec::new();
        for (run, buffer) in self.runs().iter_mut() {
            if buffer.pending.is_empty() || (due == Due::Urgent && !buffer.urgent) {
                continue;
            }
            buffer.urgent = false;
            buffer.bytes = 0;
            let mut entries = Vec::with_capacity(buffer.pending.len());
            for event in buffer.pending.drain(..) {
                entries.push(LogEntry {
                    cursor: Cursor::new(buffer.epoch, buffer.next_seq),
                    kind: event.kind(),
                    at: now,
                    data: event.to_data(buffer.simulated),
                });
                buffer.next_seq += 1;
            }
            let (then, reply) = match buffer.close.take() {
                Some((then, reply)) => (then, Some(reply)),
                None => (Then::Continue, None),
            };
            let write = Write {
                run: *run,
                epoch: buffer.epoch,
                entries,
                then,
            };
            taken.push(Taken {
                write,
                reply,
                permit: buffer.permit.take(),
            });
        }
        taken
    }

    /// Notes that a run is lost: what it appends from now on is refused.
    pub(super) fn lose(&self, run: RunId) {
        self.break_off(run, JournalError::Fenced, None);
    }

    /// Notes that a run's entries from `seq` on were refused: the log ends before them. Only an end may follow.
    pub(super) fn refuse(&self, run: RunId, seq: u32) {
        self.break_off(run, JournalError::Refused, Some(seq));
    }

    /// Notes that every run is lost.
    pub(super) fn abandon(&self) {
        let runs: Vec<RunId> = self.runs().keys().copied().collect();
        runs.into_iter().for_each(|run| self.lose(run));
    }

    fn break_off(&self, run: RunId, error: JournalError, next_seq: Option<u32>) {
        let mut runs = self.runs();
        let Some(buffer) = runs.get_mut(&run) else { return };
        buffer.broken = Some(error);
        buffer.next_seq = next_seq.unwrap_or(buffer.next_seq);
        buffer.pending.clear();
        buffer.bytes = 0;
        buffer.urgent = false;
        buffer.permit = None;
        if let Some((_, reply)) = buffer.close.take() {
            // An error means that the executor is gone.
            let _ = reply.send(Err(error));
        }
    }
}

fn live(runs: &mut HashMap<RunId, Buffer>, run: RunId) -> Result<&mut Buffer, JournalError> {
    let buffer = runs.get_mut(&run).ok_or(JournalError::Fenced)?;
    match buffer.broken {
        Some(error) => Err(error),
        None => Ok(buffer),
    }
}

/// Buffers are shared by reference only.
pub(super) type Shared = Arc<Buffers>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_a_claim_leaves_the_next_one_alone() {
        let buffers = Buffers::default();
        let run = RunId::new();
        buffers.open(run, 1, false);
        // Given back and claimed again before the first task is gone.
        buffers.open(run, 3, false);
        buffers.forget(run, 1);
        let event = Event::OutputDelta(OutputDelta::text("a"));
        assert_eq!(buffers.push(run, event.clone()), Ok(()));
        buffers.forget(run, 3);
        assert_eq!(buffers.push(run, event), Err(JournalError::Fenced));
    }
}
