//! What runs have appended and the writer has not taken yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::domain::{Cursor, Event, LogEntry, OutputDelta, Timestamp, UsageRecord};
use shared::ledger::{Held, Then, Write};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use super::JournalError;

/// Output of one run that does not wait for the tick.
const URGENT_BYTES: usize = 1024;

type Reply = oneshot::Sender<Result<(), JournalError>>;

/// What one claim has appended.
struct Buffer {
    simulated: bool,
    /// Of the next entry.
    next_seq: u32,
    pending: Vec<Event>,
    /// Calls that ended; they go with the next entries.
    usage: Vec<UsageRecord>,
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

/// The buffers of all runs, by their claims: what a former claim of a run appends late, or is refused, does not touch the
/// present one.
#[derive(Default)]
pub(super) struct Buffers {
    runs: Mutex<HashMap<Held, Buffer>>,
    changed: Notify,
}

impl Buffers {
    fn runs(&self) -> MutexGuard<'_, HashMap<Held, Buffer>> {
        // Every critical section leaves the map consistent, so a panic elsewhere does not spoil it.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self, held: Held, simulated: bool) {
        let buffer = Buffer {
            simulated,
            next_seq: 2,
            pending: Vec::new(),
            usage: Vec::new(),
            bytes: 0,
            permit: None,
            urgent: false,
            close: None,
            broken: None,
        };
        self.runs().insert(held, buffer);
    }

    /// Forgets what a claim has appended.
    pub(super) fn forget(&self, held: Held) {
        self.runs().remove(&held);
    }

    /// Waits until something was appended since the last call. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Appends an event that may wait for the tick: what makes it worth seeing comes right behind it.
    pub(super) fn push(&self, held: Held, event: Event) -> Result<(), JournalError> {
        let mut runs = self.runs();
        let buffer = live(&mut runs, held)?;
        buffer.pending.push(event);
        drop(runs);
        self.changed.notify_one();
        Ok(())
    }

    /// Appends output; it joins output that waits already.
    pub(super) fn push_delta(
        &self,
        held: Held,
        piece: OutputDelta,
        permit: OwnedSemaphorePermit,
        first: bool,
    ) -> Result<(), JournalError> {
        let mut runs = self.runs();
        let buffer = live(&mut runs, held)?;
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

    /// Notes a call that ended. It does not hurry: entries follow, if only the last.
    pub(super) fn push_usage(&self, held: Held, record: UsageRecord) {
        if let Some(buffer) = self.runs().get_mut(&held) {
            buffer.usage.push(record);
        }
    }

    pub(super) fn close(
        &self,
        held: Held,
        event: Event,
        then: Then,
        reply: Reply,
    ) -> Result<(), JournalError> {
        let mut runs = self.runs();
        let buffer = runs.get_mut(&held).ok_or(JournalError::Fenced)?;
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
        for (held, buffer) in self.runs().iter_mut() {
            if buffer.pending.is_empty() || (due == Due::Urgent && !buffer.urgent) {
                continue;
            }
            buffer.urgent = false;
            buffer.bytes = 0;
            let mut entries = Vec::with_capacity(buffer.pending.len());
            for event in buffer.pending.drain(..) {
                entries.push(LogEntry {
                    cursor: Cursor::new(held.epoch, buffer.next_seq),
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
                run: held.run,
                epoch: held.epoch,
                entries,
                usage: std::mem::take(&mut buffer.usage),
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

    /// Notes that a claim is lost: what it appends from now on is refused.
    pub(super) fn lose(&self, held: Held) {
        self.break_off(held, JournalError::Fenced, None);
    }

    /// Notes that a run's entries from `seq` on were refused: the log ends before them. Only an end may follow, and the
    /// calls that were to go with the entries go with that; unless they were refused before, for then it may be they
    /// that cannot be stored, and the run must end all the same.
    pub(super) fn refuse(&self, held: Held, seq: u32, usage: Vec<UsageRecord>) {
        if let Some(buffer) = self.runs().get_mut(&held)
            && buffer.broken.is_none()
        {
            buffer.usage.splice(0..0, usage);
        }
        self.break_off(held, JournalError::Refused, Some(seq));
    }

    /// Notes that every claim is lost.
    pub(super) fn abandon(&self) {
        let all: Vec<Held> = self.runs().keys().copied().collect();
        all.into_iter().for_each(|held| self.lose(held));
    }

    fn break_off(&self, held: Held, error: JournalError, next_seq: Option<u32>) {
        let mut runs = self.runs();
        let Some(buffer) = runs.get_mut(&held) else { return };
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

fn live(runs: &mut HashMap<Held, Buffer>, held: Held) -> Result<&mut Buffer, JournalError> {
    let buffer = runs.get_mut(&held).ok_or(JournalError::Fenced)?;
    match buffer.broken {
        Some(error) => Err(error),
        None => Ok(buffer),
    }
}

/// Buffers are shared by reference only.
pub(super) type Shared = Arc<Buffers>;

#[cfg(test)]
mod tests {
    use shared::domain::RunId;

    use super::*;

    #[test]
    fn a_former_claim_does_not_touch_the_present_one() {
        let buffers = Buffers::default();
        let run = RunId::new();
        let (former, present) = (Held { run, epoch: 1 }, Held { run, epoch: 3 });
        buffers.open(former, false);
        // Given back and claimed again before the first task is gone.
        buffers.open(present, false);
        let event = Event::OutputDelta(OutputDelta::text("a"));
        buffers.lose(former);
        assert_eq!(buffers.push(former, event.clone()), Err(JournalError::Fenced));
        assert_eq!(buffers.push(present, event.clone()), Ok(()));
        buffers.forget(former);
        assert_eq!(buffers.push(present, event.clone()), Ok(()));
        buffers.forget(present);
        assert_eq!(buffers.push(present, event), Err(JournalError::Fenced));
    }
}
