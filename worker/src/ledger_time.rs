//! Database time, as this process knows it: its own clock, corrected by what the last renewal said. Hosts may disagree
//! about the time; what they write into the ledger should not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use shared::clock;
use shared::domain::Timestamp;

/// An answer that took longer says too little about when the database was asked; unless it is the first.
const TELLING: Duration = Duration::from_millis(100);

/// No correction yet.
const UNKNOWN: i64 = i64::MIN;

/// A clock that agrees with the database to within a round trip, and is never behind it.
#[derive(Debug, Clone)]
pub(crate) struct LedgerTime {
    ahead_ms: Arc<AtomicI64>,
}

impl LedgerTime {
    /// Not corrected yet.
    pub(crate) fn unknown() -> Self {
        Self {
            ahead_ms: Arc::new(AtomicI64::new(UNKNOWN)),
        }
    }

    /// Notes what the database said to a question that was asked at `asked` by this clock. It was said some time between
    /// then and now; counting from then, this clock may run ahead by a round trip but not behind.
    pub(crate) fn correct(&self, asked: Timestamp, database: Timestamp) {
        let known = self.ahead_ms.load(Ordering::Relaxed) != UNKNOWN;
        if known && clock::now().since(asked) > TELLING {
            return;
        }
        self.ahead_ms
            .store(database.millis() - asked.millis(), Ordering::Relaxed);
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        let ahead = if ahead == UNKNOWN { 0 } else { ahead };
        Timestamp::from_millis(clock::now().millis() + ahead)
    }

    /// The first whole millisecond that is at least `wait` away: moments are cut to milliseconds, so one is added.
    pub(crate) fn after(&self, wait: Duration) -> Timestamp {
        self.now().plus(wait).plus(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_question_and_so_is_never_behind() {
        let time = LedgerTime::unknown();
        let asked = clock::now();
        let database = asked.plus(Duration::from_secs(3_600));
        time.correct(asked, database);
        assert!(time.now() >= database);
        let wait = Duration::from_secs(2);
        assert!(time.after(wait) > time.now().plus(Duration::from_millis(1_900)));
        assert!(time.after(wait) > database.plus(wait));
    }

    #[test]
    fn a_slow_answer_does_not_spoil_what_is_known() {
        let time = LedgerTime::unknown();
        let now = clock::now();
        time.correct(now, now);
        let long_ago = Timestamp::from_millis(now.millis() - 60_000);
        time.correct(long_ago, now);
        assert!(time.now().since(now) < Duration::from_secs(50));
        // But it is better than nothing.
        let time = LedgerTime::unknown();
        time.correct(long_ago, now);
        assert!(time.now() >= now);
    }
}
