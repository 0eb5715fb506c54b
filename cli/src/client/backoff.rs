//! How long to wait before the next try: doubling, with jitter, so that the watchers of a restarted server do not all
//! come back in the same moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses of one row of failures.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause: between half of 250 ms, 500 ms, 1 s, ... 5 s and the whole of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let whole = FIRST
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// What was tried has worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_limit_and_begins_anew() {
        let mut backoff = Backoff::default();
        for whole in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000].map(Duration::from_millis) {
            let pause = backoff.pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.failures = u32::MAX;
        assert!(backoff.pause() <= LONGEST);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
