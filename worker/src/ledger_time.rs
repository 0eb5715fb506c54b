//! Database time, as this process knows it: its own clock, corrected by what the last renewal said. Hosts may disagree
//! about the time; what they write into the ledger should not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use shared::clock;
use shared::domain::Timestamp;

/// A clock that agrees with the database to within a round trip.
#[derive(Debug, Clone, Default)]
pub(crate) struct LedgerTime {
    ahead_ms: Arc<AtomicI64>,
}

impl LedgerTime {
    /// Notes what the database said just now.
    pub(crate) fn correct(&self, database: Timestamp) {
        self.ahead_ms
            .store(database.millis() - clock::now().millis(), Ordering::Relaxed);
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(clock::now().millis() + self.ahead_ms.load(Ordering::Relaxed))
    }
}
