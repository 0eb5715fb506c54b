//! Where the provider calls of one attempt are accounted. Kept apart from the journal's handle, so that a call that is
//! dropped in the middle can still say what it was: its record goes with the run's next commit, the last at the latest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shared::domain::UsageRecord;
use shared::ledger::Held;

use super::buffer::Shared;

/// The account of one attempt. Clones are the same account.
#[derive(Clone)]
pub(crate) struct Accounts {
    buffers: Shared,
    held: Held,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    calls: AtomicU32,
    failed: AtomicU32,
}

impl Accounts {
    pub(super) fn of(buffers: Shared, held: Held) -> Self {
        Self {
            buffers,
            held,
            counts: Arc::default(),
        }
    }

    /// The number of a call that begins now, from 1.
    pub(crate) fn next_call(&self) -> u32 {
        self.counts.calls.fetch_add(1, Relaxed) + 1
    }

    /// How many calls have begun.
    pub(crate) fn calls(&self) -> u32 {
        self.counts.calls.load(Relaxed)
    }

    /// How many calls have failed.
    pub(crate) fn failed(&self) -> u32 {
        self.counts.failed.load(Relaxed)
    }

    /// A call ended.
    pub(crate) fn ended(&self, record: UsageRecord) {
        if record.error.is_some() {
            self.counts.failed.fetch_add(1, Relaxed);
        }
        self.buffers.push_usage(self.held, record);
    }
}
