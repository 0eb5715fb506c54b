//! Durations, counted by size: memory is fixed however many are recorded, and recording costs an increment.
//!
//! Buckets as in HdrHistogram (<http://hdrhistogram.org>): every power of two is cut into equally wide parts, so that
//! what is read back is at most 1/128 above what was recorded. The greatest value is kept exactly.

use std::time::Duration;

/// Parts a power of two is cut into, as a power of two itself.
const PRECISION: u32 = 7;
const PARTS: u64 = 1 << PRECISION;
/// 2⁴⁰ µs are twelve days: more than a benchmark takes.
const LARGEST: u64 = (1 << 40) - 1;

/// A histogram of durations, in microseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    /// As long as the largest bucket that was ever used needs.
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Histogram {
    pub(super) fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).map_or(LARGEST, |micros| micros.min(LARGEST));
        let bucket = bucket_of(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.count += 1;
        self.sum += micros;
        self.max = self.max.max(micros);
    }

    /// Takes over everything that `other` has recorded.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_micros(self.sum.checked_div(self.count).unwrap_or(0))
    }

    /// The smallest recorded value that at least so large a share (0 to 1) of all values does not exceed: the
    /// nearest-rank percentile. Zero when nothing was recorded.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        // A count fits a float's 53 bits, and its product with a share at most 1 is not above it.
        let rank = ((self.count as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(top_of(bucket as u64).min(self.max));
            }
        }
        Duration::ZERO
    }
}

/// Values below 2 × `PARTS` have a bucket each; above, the highest bits choose it.
fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION + 1);
    // Both terms are far below 2³²: `LARGEST` bounds the value.
    (u64::from(shift) * PARTS + (value >> shift)) as usize
}

/// The largest value in a bucket.
fn top_of(bucket: u64) -> u64 {
    let shift = (bucket / PARTS).saturating_sub(1);
    ((bucket - shift * PARTS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for value in micros {
            histogram.record(Duration::from_micros(value));
        }
        histogram
    }

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let powers = (0..40).map(|power| 1_u64 << power);
        for value in powers.flat_map(|power| [power - 1, power, power + power / 3]) {
            let bucket = bucket_of(value);
            let top = top_of(bucket as u64);
            assert!(value <= top && top - value <= value / PARTS, "{value} {top}");
            assert_eq!(bucket_of(top), bucket, "{value}");
            assert_eq!(bucket_of(top + 1), bucket + 1, "{value}");
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let histogram = of(1..=100);
        let micros = |share| histogram.quantile(share).as_micros();
        assert_eq!(
            (micros(0.0), micros(0.5), micros(0.99), micros(1.0)),
            (1, 50, 99, 100)
        );
        assert_eq!(of([7]).quantile(0.5).as_micros(), 7);
        assert_eq!(of([1, 1_000_000]).quantile(0.5).as_micros(), 1);
        assert_eq!(of([1, 1_000_000]).quantile(0.51).as_micros(), 1_000_000);
    }

    #[test]
    fn nothing_recorded_is_zero() {
        let none = Histogram::default();
        assert_eq!((none.quantile(0.99), none.mean(), none.max()), Default::default());
    }

    #[test]
    fn merged_is_as_if_recorded_together() {
        let mut left = of((0..1_000).map(|n| n * 7));
        let right = of((0..500).map(|n| n * n));
        left.merge(&right);
        let both = of((0..1_000).map(|n| n * 7).chain((0..500).map(|n| n * n)));
        assert_eq!(
            (left.count(), left.mean(), left.max()),
            (both.count(), both.mean(), both.max())
        );
        for share in [0.01, 0.5, 0.9, 0.999] {
            assert_eq!(left.quantile(share), both.quantile(share), "{share}");
        }
    }

    #[test]
    fn what_is_too_large_counts_as_the_largest() {
        assert_eq!(of([u64::MAX]).max().as_micros(), u128::from(LARGEST));
    }
}
