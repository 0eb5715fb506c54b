//! Live figures of one model at one provider: how fast, how reliable, how busy. Written when something was seen, read
//! by every choice.
//!
//! A writer takes a lock of this one model for some nanoseconds and leaves the result in atomics; readers only load
//! those. A reader may meet two figures of different moments: for a score that does no harm.
//!
//! First-token time and time per token are **peak-EWMA**, as Finagle has it (`PeakEwma.scala` in twitter/finagle; its
//! default decay time of 10 s too): a slower value counts at once, a faster one by and by, weighted by the time since the
//! last one (`w = e^(-elapsed/τ)`, after Eckner, "Algorithms for Unevenly Spaced Time Series"). What is not confirmed for
//! long is trusted less ([`Reading::trust`]), so that a provider that was slow once is tried again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::domain::Usd;

use super::moment::Moment;
use super::recent::Recent;

/// Mean life of a peak.
const PEAK_DECAY: Duration = Duration::from_secs(10);

/// Mean life of trust in figures that nothing confirms, and of calls in the error rate.
const MEMORY: Duration = Duration::from_secs(60);

/// What is thought of a provider that was never called: one failure in a hundred, as if seen in [`PRIOR_CALLS`] calls.
pub const PRIOR_ERROR_RATE: f32 = 0.01;

/// How many calls outweigh the prior error rate.
pub const PRIOR_CALLS: f32 = 5.0;

/// Figures of one model at one provider. In the order written here: what readers read lies in one line of the cache.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Figures {
    /// Nanoseconds of the moment of the last change; 0 when there was none.
    changed: AtomicU64,
    headroom_until: AtomicU64,
    /// `f32` bits: what is left of the rate limit, 0 to 1; counts until `headroom_until`.
    headroom: AtomicU32,
    /// `f32` bits of seconds; 0 when unknown. So is the next.
    first_token: AtomicU32,
    per_token: AtomicU32,
    /// `f32` bits of counts that fade. So are the next.
    calls: AtomicU32,
    failures: AtomicU32,
    in_flight: AtomicU32,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    first_token: Peak,
    per_token: Peak,
    calls: f32,
    failures: f32,
    counted: Moment,
    first_tokens: Recent,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Peak {
    value: Option<f32>,
    seen: Moment,
}

impl Peak {
    fn see(&mut self, value: f32, now: Moment) -> f32 {
        let shown = match self.value {
            Some(peak) if value <= peak => {
                let kept = decay(now.since(self.seen), PEAK_DECAY);
                peak * kept + value * (1.0 - kept)
            }
            _ => value,
        };
        self.value = Some(shown);
        self.seen = now;
        shown
    }
}

/// What was counted since the process began. For people, not for choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Calls that ended with a word about the provider.
    pub calls: u64,
    /// Of those, failures.
    pub failures: u64,
    /// What calls of known price cost.
    pub cost: Usd,
}

/// The figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Seconds to the first token; none when never seen.
    pub first_token: Option<f32>,
    /// Seconds per token after the first; none when never seen.
    pub per_token: Option<f32>,
    /// How far the two above can be trusted: 1 right after a call, 0 after a long silence.
    pub trust: f32,
    /// Share of calls that fail, 0 to 1; mixed with the prior, never exactly 0.
    pub error_rate: f32,
    /// What is left of the rate limit, 0 to 1; 1 when the provider did not say.
    pub headroom: f32,
    /// Calls of this process that run now.
    pub in_flight: u32,
}

impl Reading {
    /// Tokens per second; none when never seen.
    #[must_use]
    pub fn tokens_per_second(&self) -> Option<f32> {
        self.per_token
            .filter(|seconds| *seconds > 0.0)
            .map(|seconds| 1.0 / seconds)
    }
}

impl Figures {
    /// The first token came after so long.
    pub fn first_token(&self, took: Duration, now: Moment) {
        let mut running = self.running();
        running.first_tokens.add(took);
        let shown = running.first_token.see(took.as_secs_f32(), now);
        self.first_token.store(shown.to_bits(), Relaxed);
        self.changed.fetch_max(now.nanos(), Relaxed);
    }

    /// So many tokens came in so long after the first. A handful says nothing about speed and is left out.
    pub fn streamed(&self, tokens: u64, took: Duration, now: Moment) {
        const HANDFUL: u64 = 8;
        if tokens < HANDFUL {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio; seven digits are plenty")]
        let per_token = took.as_secs_f32() / tokens as f32;
        let mut running = self.running();
        // A whole answer in one piece took no time after its first token: as fast as can be told.
        let shown = running.per_token.see(per_token.max(1e-6), now);
        self.per_token.store(shown.to_bits(), Relaxed);
        self.changed.fetch_max(now.nanos(), Relaxed);
    }

    /// A call ended well or badly.
    pub fn ended(&self, well: bool, now: Moment) {
        let failed = f32::from(u8::from(!well));
        let mut running = self.running();
        let kept = decay(now.since(running.counted), MEMORY);
        running.calls = running.calls * kept + 1.0;
        running.failures = running.failures * kept + failed;
        running.counted = running.counted.max(now);
        running.totals.calls += 1;
        running.totals.failures += u64::from(!well);
        self.calls.store(running.calls.to_bits(), Relaxed);
        self.failures.store(running.failures.to_bits(), Relaxed);
        self.changed.fetch_max(now.nanos(), Relaxed);
    }

    /// A call cost so much.
    pub fn spent(&self, cost: Usd) {
        let mut running = self.running();
        let total = running.totals.cost.nanos().saturating_add(cost.nanos());
        running.totals.cost = Usd::from_nanos(total);
    }

    /// The provider said what is left of its rate limit, 0 to 1, and when that is over.
    pub fn headroom(&self, left: f32, until: Moment) {
        self.headroom.store(left.clamp(0.0, 1.0).to_bits(), Relaxed);
        self.headroom_until.store(until.nanos(), Relaxed);
    }

    /// A call began.
    pub(super) fn began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// A call is over.
    pub(super) fn over(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Calls of this process that run now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The figures now.
    #[must_use]
    #[inline]
    pub fn read(&self, now: Moment) -> Reading {
        let changed = self.changed.load(Relaxed);
        let known = |bits: &AtomicU32| {
            let value = f32::from_bits(bits.load(Relaxed));
            (value > 0.0).then_some(value)
        };
        let (first_token, per_token) = (known(&self.first_token), known(&self.per_token));
        let (trust, error_rate) = if changed == 0 {
            (0.0, PRIOR_ERROR_RATE)
        } else {
            let trust = faded(now.seconds_since(Moment::from_nanos(changed)));
            let calls = f32::from_bits(self.calls.load(Relaxed)) * trust;
            let failures = f32::from_bits(self.failures.load(Relaxed)) * trust;
            (
                trust,
                (failures + PRIOR_ERROR_RATE * PRIOR_CALLS) / (calls + PRIOR_CALLS),
            )
        };
        let said = now.nanos() < self.headroom_until.load(Relaxed);
        Reading {
            first_token,
            per_token,
            trust,
            error_rate,
            headroom: if said {
                f32::from_bits(self.headroom.load(Relaxed))
            } else {
                1.0
            },
            in_flight: self.in_flight(),
        }
    }

    /// The time within which 95 of 100 recent calls gave their first token; none while too few were seen.
    #[must_use]
    pub fn first_token_p95(&self) -> Option<Duration> {
        self.running().first_tokens.quantile(95)
    }

    /// What was counted since the process began.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.running().totals
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of 1 after `elapsed` with this mean life.
fn decay(elapsed: Duration, mean_life: Duration) -> f32 {
    (-elapsed.as_secs_f32() / mean_life.as_secs_f32()).exp()
}

/// `decay` over [`MEMORY`] for readers, who ask it of every candidate: the eighth power of the exponential's series for an
/// eighth of the time, up to its third power and inverted. At most 0.001 above the true value.
fn faded(seconds: f32) -> f32 {
    // One division is enough to wait for: those by constants are done beforehand.
    const EIGHTH: f32 = 1.0 / (8.0 * MEMORY.as_secs_f32());
    let eighths = seconds * EIGHTH;
    let series = 1.0 + eighths * (1.0 + eighths * (0.5 + eighths * (1.0 / 6.0)));
    let mut faded = 1.0 / series;
    for _ in 0..3 {
        faded *= faded;
    }
    faded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_reckon_with_is_near_the_true_decay() {
        for millis in (0..900_000).step_by(500) {
            let elapsed = Duration::from_millis(millis);
            let above = faded(elapsed.as_secs_f32()) - decay(elapsed, MEMORY);
            assert!((-1e-5..=1e-3).contains(&above), "{above} at {millis} ms");
        }
    }

    fn at(millis: u64) -> Moment {
        Moment::from_nanos((millis + 1) * 1_000_000)
    }

    fn near(one: f32, other: f32) -> bool {
        (one - other).abs() < 1e-3 * other.abs().max(1.0)
    }

    #[test]
    fn a_slow_call_counts_at_once_and_is_forgiven_slowly() {
        let figures = Figures::default();
        figures.first_token(Duration::from_millis(200), at(0));
        figures.first_token(Duration::from_millis(900), at(1));
        assert!(near(figures.read(at(1)).first_token.unwrap(), 0.9));
        figures.first_token(Duration::from_millis(200), at(2));
        assert!(figures.read(at(2)).first_token.unwrap() > 0.89);
        // One mean life later, 1/e of the peak is left: 0.2 + 0.7 / e.
        figures.first_token(Duration::from_millis(200), at(10_002));
        assert!(near(figures.read(at(10_002)).first_token.unwrap(), 0.4575));
    }

    #[test]
    fn speed_is_measured_over_tokens_and_not_over_a_handful() {
        let figures = Figures::default();
        figures.streamed(3, Duration::from_secs(1), at(0));
        assert_eq!(figures.read(at(0)).per_token, None);
        figures.streamed(100, Duration::from_secs(2), at(0));
        assert!(near(figures.read(at(0)).tokens_per_second().unwrap(), 50.0));
        figures.streamed(100, Duration::from_secs(4), at(1));
        assert!(near(figures.read(at(1)).tokens_per_second().unwrap(), 25.0));
    }

    #[test]
    fn the_error_rate_starts_at_the_prior_follows_the_calls_and_forgets() {
        let figures = Figures::default();
        assert!(near(figures.read(at(5)).error_rate, PRIOR_ERROR_RATE));
        for _ in 0..95 {
            figures.ended(false, at(10));
        }
        // (95 + 0.05) / (95 + 5)
        assert!(near(figures.read(at(10)).error_rate, 0.9505));
        assert!(figures.read(at(600_000)).error_rate < 0.02);
        for _ in 0..1_000 {
            figures.ended(true, at(600_000));
        }
        assert!(figures.read(at(600_000)).error_rate < 0.001);
        assert_eq!(figures.totals().calls, 1_095);
        assert_eq!(figures.totals().failures, 95);
    }

    #[test]
    fn trust_fades_while_nothing_is_seen() {
        let figures = Figures::default();
        assert!(near(figures.read(at(0)).trust, 0.0));
        figures.first_token(Duration::from_secs(9), at(0));
        assert!(near(figures.read(at(0)).trust, 1.0));
        assert!(near(figures.read(at(60_000)).trust, 0.3679));
        assert!(figures.read(at(600_000)).trust < 0.001);
    }

    #[test]
    fn headroom_counts_until_the_limit_is_reset() {
        let figures = Figures::default();
        assert!(near(figures.read(at(0)).headroom, 1.0));
        figures.headroom(0.25, at(1_000));
        assert!(near(figures.read(at(999)).headroom, 0.25));
        assert!(near(figures.read(at(1_000)).headroom, 1.0));
    }

    #[test]
    fn cost_adds_up_and_an_old_moment_does_not_turn_time_back() {
        let figures = Figures::default();
        figures.spent(Usd::from_nanos(3));
        figures.spent(Usd::from_nanos(4));
        assert_eq!(figures.totals().cost, Usd::from_nanos(7));
        figures.ended(true, at(1_000));
        figures.ended(true, at(10));
        assert!(near(figures.read(at(1_000)).trust, 1.0));
    }
}
