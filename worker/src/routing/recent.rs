//! The last values of something, for quantiles. A ring instead of a sketch: it forgets by itself, is exact, and is read
//! only when a second call is about to be considered.

use std::time::Duration;

/// How many values are kept.
const KEPT: usize = 128;

/// Below so many values a quantile is a guess.
const ENOUGH: usize = 20;

/// The last 128 durations.
#[derive(Debug, Clone)]
pub(super) struct Recent {
    micros: [u32; KEPT],
    added: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            micros: [0; KEPT],
            added: 0,
        }
    }
}

impl Recent {
    /// Adds one, which replaces the oldest. Over an hour counts as an hour.
    pub(super) fn add(&mut self, value: Duration) {
        self.micros[self.added % KEPT] = u32::try_from(value.as_micros()).unwrap_or(u32::MAX);
        self.added = self.added.saturating_add(1);
    }

    /// The smallest value that `percent` of 100 do not pass (nearest rank); none while there are too few.
    pub(super) fn quantile(&self, percent: usize) -> Option<Duration> {
        let count = self.added.min(KEPT);
        if count < ENOUGH {
            return None;
        }
        let mut values = self.micros;
        let values = &mut values[..count];
        let rank = (count * percent).div_ceil(100).clamp(1, count) - 1;
        let (_, value, _) = values.select_nth_unstable(rank);
        Some(Duration::from_micros(u64::from(*value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_over_what_is_kept() {
        let mut recent = Recent::default();
        for millis in (1..20).rev() {
            recent.add(Duration::from_millis(millis));
        }
        assert_eq!(recent.quantile(95), None);
        recent.add(Duration::from_millis(20));
        assert_eq!(recent.quantile(95), Some(Duration::from_millis(19)));
        assert_eq!(recent.quantile(100), Some(Duration::from_millis(20)));
        assert_eq!(recent.quantile(0), Some(Duration::from_millis(1)));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut recent = Recent::default();
        for _ in 0..KEPT {
            recent.add(Duration::from_secs(9_999));
        }
        for _ in 0..KEPT {
            recent.add(Duration::from_millis(5));
        }
        assert_eq!(recent.quantile(100), Some(Duration::from_millis(5)));
    }
}
