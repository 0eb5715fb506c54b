//! The journal: the executor's handle for appending to a run's log. Nothing else in a worker writes events.
//!
//! Executors append to a buffer per run; one [`Writer`] per incarnation commits what all runs have appended since its
//! last commit, then publishes it: durable before visible. The first output goes into the very next commit; later
//! deltas of a run are joined until the next tick. A budget in bytes stops executors (and so the reading from
//! providers) while the ledger is away.

mod accounts;
mod buffer;
mod commit;
mod writer;

use std::sync::Arc;

use shared::domain::{Answer, AttemptStarted, Cursor, Event, OutputDelta};
use shared::ledger::{Held, Then};
use tokio::sync::{Semaphore, oneshot};

pub(crate) use accounts::Accounts;
use buffer::Buffers;
pub(crate) use writer::Writer;

/// Bytes of output that may wait for their commit, over all runs of a worker.
const BUDGET_BYTES: usize = 64 * 1024 * 1024;
/// One piece never asks for more of the budget than this, so that a large one can always pass.
const MAX_PIECE_BYTES: usize = BUDGET_BYTES / 4;

/// Why an append did not take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JournalError {
    /// The run is no longer this worker's: somebody else decides now.
    #[error("the run is no longer held by this worker")]
    Fenced,
    /// The ledger refused what was appended; the log ends before it.
    #[error("the ledger refused the entries")]
    Refused,
}

/// Where runs of one incarnation append to.
#[derive(Clone)]
pub(crate) struct Journals {
    buffers: Arc<Buffers>,
    budget: Arc<Semaphore>,
}

impl Journals {
    /// Empty journals.
    pub(crate) fn new() -> Self {
        Self {
            buffers: Arc::default(),
            budget: Arc::new(Semaphore::new(BUDGET_BYTES)),
        }
    }

    /// Tells everybody who waits for a commit that there will be none.
    pub(crate) fn abandon(&self) {
        self.buffers.abandon();
    }

    /// Opens the journal of a claimed run. Its `attempt.started` is entry 1 of the epoch already.
    pub(crate) fn open(&self, held: Held, simulated: bool) -> Journal {
        self.buffers.open(held, simulated);
        Journal {
            accounts: Accounts::of(Arc::clone(&self.buffers), held),
            journals: self.clone(),
            held,
            answer: Answer::default(),
            visible: false,
        }
    }
}

/// The handle of one run. Dropping it without an end forgets what was not committed.
pub(crate) struct Journal {
    journals: Journals,
    accounts: Accounts,
    held: Held,
    answer: Answer,
    visible: bool,
}

impl Journal {
    /// Appends an event that is not output.
    ///
    /// # Errors
    /// When the run is lost; the executor should give up.
    pub(crate) fn event(&self, event: Event) -> Result<(), JournalError> {
        self.journals.buffers.push(self.held, event)
    }

    /// Appends output. Waits while too much is waiting for its commit.
    ///
    /// # Errors
    /// When the run is lost; the executor should give up.
    pub(crate) async fn delta(&mut self, piece: OutputDelta) -> Result<(), JournalError> {
        let weight = u32::try_from(piece.weight().clamp(1, MAX_PIECE_BYTES)).unwrap_or(1);
        // The semaphore is never closed; if it were, nothing could be written any more.
        let permit = Arc::clone(&self.journals.budget).acquire_many_owned(weight).await;
        let permit = permit.map_err(|_| JournalError::Fenced)?;
        self.answer.push(&piece);
        let first = !self.visible && piece.is_visible();
        self.visible |= first;
        self.journals.buffers.push_delta(self.held, piece, permit, first)
    }

    /// Where the calls of this attempt are accounted.
    pub(crate) const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Takes back all output, aloud: this attempt begins its answer again.
    ///
    /// # Errors
    /// When the run is lost; the executor should give up.
    pub(crate) fn rewind(&mut self, mut started: AttemptStarted) -> Result<(), JournalError> {
        self.answer = Answer::default();
        self.visible = false;
        started.void_after = Some(Cursor::QUEUED);
        self.event(Event::AttemptStarted(started))
    }

    /// Everything appended as output so far and not taken back.
    pub(crate) const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Whether a watcher may have seen output of this attempt.
    pub(crate) const fn visible(&self) -> bool {
        self.visible
    }

    /// Appends the event that ends this worker's hold on the run, in one commit with what waits and with `then`.
    /// Returns once that is in the ledger.
    ///
    /// # Errors
    /// When the run is lost, or the ledger refuses it (then another end may be tried).
    pub(crate) async fn close(&self, event: Event, then: Then) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.journals.buffers.close(self.held, event, then, reply)?;
        // Without an answer the writer is gone, because the incarnation is.
        done.await.unwrap_or(Err(JournalError::Fenced))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.journals.buffers.forget(self.held);
    }
}
