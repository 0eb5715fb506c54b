//! Growing, jittered pauses between tries, so that a fleet does not come back in step.

use std::time::Duration;

use rand::RngExt as _;

/// Doubles from the first pause to the last, each drawn from half to one and a half of its length.
#[derive(Debug, Clone)]
pub(crate) struct BackOff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl BackOff {
    /// While the ledger is away.
    pub(crate) const fn for_ledger() -> Self {
        Self::between(Duration::from_millis(100), Duration::from_secs(2))
    }

    /// Between two bounds.
    pub(crate) const fn between(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = jittered(self.next, 0.5..1.5);
        self.next = (self.next * 2).min(self.last);
        pause
    }

    /// Begins again with the first pause.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A part of `duration` drawn from `range`.
pub(crate) fn jittered(duration: Duration, range: std::ops::Range<f64>) -> Duration {
    duration.mul_f64(rand::rng().random_range(range))
}
