//! The pace of one key: requests and tokens per minute, and the times in which the provider wants to hear nothing.

use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use shared::catalog::Limits;

use super::super::moment::{Moment, nanos};

const MINUTE: Duration = Duration::from_secs(60);

/// After a 429 that names no time: this long, doubled with each in a row.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(60);

/// After a refusal of the key itself.
const KEY_REFUSED: Duration = Duration::from_secs(60);

type Limiter = RateLimiter<NotKeyed, InMemoryState, HandedClock, NoOpMiddleware<Instant>>;

/// The pace of one key.
#[derive(Debug)]
pub(super) struct KeyPace {
    clock: HandedClock,
    requests: Option<Limiter>,
    tokens: Option<Tokens>,
    /// Nanoseconds of the moment from which it may be used again.
    closed_until: AtomicU64,
    refusals: AtomicU32,
}

#[derive(Debug)]
struct Tokens {
    limiter: Limiter,
    burst: NonZeroU32,
    per_minute: u64,
}

impl KeyPace {
    pub(super) fn new(limits: Limits) -> Self {
        let clock = HandedClock::default();
        let limiter = |quota| Limiter::direct_with_clock(quota, clock.clone());
        let requests = limits
            .rpm
            .map(|per_minute| limiter(quota(per_minute, per_minute / 10).0));
        let tokens = limits.tpm.map(|per_minute| {
            let within = u32::try_from(per_minute).unwrap_or(u32::MAX);
            // A prompt is one large request: half a minute's tokens may go at once.
            let (quota, burst) = quota(within, within / 2);
            Tokens {
                limiter: limiter(quota),
                burst,
                per_minute: u64::from(within).max(1),
            }
        });
        Self {
            clock,
            requests,
            tokens,
            closed_until: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
        }
    }

    /// The moment from which it may be used.
    pub(super) fn opens_at(&self) -> Moment {
        Moment::from_nanos(self.closed_until.load(Relaxed))
    }

    /// Takes one request of so many tokens; otherwise says from when it may be tried again. Where the tokens do not go,
    /// the request is spent all the same: the limiter cannot take it back, and errs on the slow side.
    pub(super) fn take(&self, tokens: u32, now: Moment) -> Result<(), Moment> {
        let open = self.opens_at();
        if open > now {
            return Err(open);
        }
        self.clock.0.fetch_max(now.nanos(), Relaxed);
        if let Some(requests) = &self.requests
            && let Err(not_yet) = requests.check()
        {
            return Err(self.close_until(not_yet.earliest_possible().moment()));
        }
        let (Some(limit), Some(asked)) = (&self.tokens, NonZeroU32::new(tokens)) else {
            return Ok(());
        };
        match limit.limiter.check_n(asked.min(limit.burst)) {
            Ok(Err(not_yet)) => Err(self.close_until(not_yet.earliest_possible().moment())),
            // More than the bucket holds: it goes when the bucket is full, and what is over is paid by waiting.
            _ => {
                let over = u64::from(tokens.saturating_sub(limit.burst.get()));
                if over > 0 {
                    let pay = nanos(MINUTE) / limit.per_minute;
                    let wait = Duration::from_nanos(pay.saturating_mul(over));
                    self.close_until(now.plus(wait));
                }
                Ok(())
            }
        }
    }

    /// 429: not before the time it named, or a pause of our own.
    pub(super) fn paced(&self, retry_after: Option<Duration>, now: Moment) {
        let before = self.refusals.fetch_add(1, Relaxed);
        let pause = retry_after.unwrap_or_else(|| {
            PAUSE_FIRST
                .saturating_mul(2_u32.saturating_pow(before.min(16)))
                .min(PAUSE_MOST)
        });
        self.close_until(now.plus(pause));
    }

    /// The key itself was refused.
    pub(super) fn refused(&self, now: Moment) {
        self.close_until(now.plus(KEY_REFUSED));
    }

    /// Nothing is left for it until then.
    pub(super) fn rests_until(&self, until: Moment) {
        self.close_until(until);
    }

    /// A call with it ended well.
    pub(super) fn went_well(&self) {
        self.refusals.store(0, Relaxed);
    }

    fn close_until(&self, until: Moment) -> Moment {
        let before = self.closed_until.fetch_max(until.nanos(), Relaxed);
        Moment::from_nanos(before.max(until.nanos()))
    }
}

/// So many per minute, of which `burst` may go at once. What the bucket holds and what flows into it in a minute are
/// together the limit: in no minute does more go out, not in the first one either.
fn quota(per_minute: u32, burst: u32) -> (Quota, NonZeroU32) {
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    let flows = per_minute.saturating_sub(burst.get()).max(1);
    let every = (MINUTE / flows).max(Duration::from_nanos(1));
    let quota = Quota::with_period(every).unwrap_or_else(|| Quota::per_second(burst));
    (quota.allow_burst(burst), burst)
}

/// The router's clock as the limiter reads it: the latest moment that was handed to it.
#[derive(Debug, Clone, Default)]
struct HandedClock(Arc<AtomicU64>);

/// A moment as the limiter reckons with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Instant(u64);

impl Instant {
    const fn moment(self) -> Moment {
        Moment::from_nanos(self.0)
    }
}

impl Clock for HandedClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Instant(self.0.load(Relaxed))
    }
}

impl Add<Nanos> for Instant {
    type Output = Self;

    fn add(self, more: Nanos) -> Self {
        Self(self.0.saturating_add(more.as_u64()))
    }
}

impl Reference for Instant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }

    fn saturating_sub(&self, less: Nanos) -> Self {
        Self(self.0.checked_sub(less.as_u64()).unwrap_or(self.0))
    }
}
