//! The router's own time: nanoseconds on a monotonic clock, small enough for an atomic. Handed in everywhere, so that a
//! test can say what time it is; only [`Monotonic`] reads a clock. Never leaves the process.

use std::time::Duration;

use tokio::time::Instant;

/// A moment on the router's clock. Moments of two routers cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// From nanoseconds on the router's clock.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds on the router's clock.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// So much later; saturates.
    #[must_use]
    pub fn plus(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(nanos(delay)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same in seconds, to seven digits: for who asks it of every candidate.
    #[expect(clippy::cast_precision_loss, reason = "seven digits are said to be enough")]
    pub(super) const fn seconds_since(self, earlier: Self) -> f32 {
        self.0.saturating_sub(earlier.0) as f32 * 1e-9
    }
}

/// Nanoseconds of a duration; saturates after 584 years.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Where moments come from. Tokio's clock, so that a paused test also pauses the router.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic {
    origin: Instant,
}

impl Monotonic {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Now. Never 0: atomics use 0 for "never".
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(nanos(self.origin.elapsed()).saturating_add(1))
    }
}
