//! Circuit breakers, one per model and provider: closed, open, half-open.
//!
//! A call asks for a [`Pass`] and says with it how the call *ended*; that a stream opened proves nothing. Closed, the
//! breaker counts the ends of a sliding window and opens when too many of enough of them were failures. Open, it refuses
//! until its time is over; the time doubles with each opening in a row and is jittered, so that a fleet does not come
//! back in step. Then a few probes may go: enough good ends close it, one bad end opens it again.
//!
//! It never counts what is not the provider's fault (see [`super::verdict`]), nor the end of a call that began before
//! its last change. A pass that is dropped gives its place back and counts for nothing.
//!
//! Reading whether calls may go is one atomic load; everything else happens under a lock held for nanoseconds.

mod news;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod window;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::domain::Timestamp;

pub use news::{BreakerNews, NewsState};
pub use shared::domain::BreakerState;
use window::Window;

use super::draw::Draw;
use super::moment::Moment;

/// When a breaker opens, for how long, and what closes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerSettings {
    /// Over which time ends are counted.
    pub window: Duration,
    /// With fewer ends than this the breaker stays closed.
    pub min_calls: u32,
    /// Opens when at least this share of the ends were failures.
    pub failure_ratio: f64,
    /// How long it is open the first time.
    pub open_first: Duration,
    /// How long it is open at most, before jitter.
    pub open_most: Duration,
    /// Probes that may run at the same time while half-open.
    pub probes: u32,
    /// Good ends of probes that close it.
    pub closes_after: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            min_calls: 5,
            failure_ratio: 0.5,
            open_first: Duration::from_secs(5),
            open_most: Duration::from_secs(30),
            probes: 2,
            closes_after: 2,
        }
    }
}

/// An opening lasts this part of its length, drawn anew each time.
const JITTER: (f64, f64) = (0.8, 1.2);

/// One breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    /// Who signs this worker's news.
    writer: u64,
    /// [`CALLS_GO`], [`PROBES_BUSY`], or the moment from which a probe may go.
    gate: AtomicU64,
    inner: Mutex<Inner>,
}

const CALLS_GO: u64 = 0;
const PROBES_BUSY: u64 = u64::MAX;

#[derive(Debug)]
struct Inner {
    state: State,
    window: Window,
    /// Counts changes: the end of a call that began before the last one is not heard.
    generation: u64,
    /// How many times in a row it opened before this time.
    level: u32,
    closed_at: Option<Moment>,
    last: Said,
    draw: Draw,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Moment },
    HalfOpen { running: u32, well: u32 },
}

/// The last change as others hear it.
#[derive(Debug, Clone, Copy)]
struct Said {
    state: NewsState,
    until: Until,
    version: u64,
    writer: u64,
}

/// When an opening ends. What another worker said is kept as it said it, so that the news stays the same when told on.
#[derive(Debug, Clone, Copy)]
enum Until {
    Here(Moment),
    Told(Timestamp),
}

/// A call that the breaker let go. Dropped without an end, it counts for nothing.
#[derive(Debug)]
#[must_use = "a pass that is dropped at once lets nobody through"]
pub struct Pass {
    breaker: Arc<Breaker>,
    generation: u64,
    ended: bool,
}

impl Breaker {
    /// A closed breaker. `writer` tells this worker's news from others'; `seed` decides its jitter.
    #[must_use]
    pub fn new(settings: BreakerSettings, writer: u64, seed: u64) -> Self {
        Self {
            settings,
            writer,
            gate: AtomicU64::new(CALLS_GO),
            inner: Mutex::new(Inner {
                state: State::Closed,
                window: Window::over(settings.window),
                generation: 0,
                level: 0,
                closed_at: None,
                last: Said {
                    state: NewsState::Closed,
                    until: Until::Here(Moment::default()),
                    version: 0,
                    writer: 0,
                },
                draw: Draw::seeded(seed),
            }),
        }
    }

    /// Whether a call may go now: what a choice looks at before it asks for a pass.
    #[must_use]
    pub fn lets_go(&self, now: Moment) -> bool {
        // While its probes are busy the gate is a moment that never comes.
        self.gate.load(Relaxed) <= now.nanos()
    }

    /// When it is worth to ask again; none when calls may go now, or when only the end of a probe will tell.
    #[must_use]
    pub fn opens_at(&self, now: Moment) -> Option<Moment> {
        let gate = self.gate.load(Relaxed);
        (gate != PROBES_BUSY && gate > now.nanos()).then_some(Moment::from_nanos(gate))
    }

    /// Its state now.
    #[must_use]
    pub fn state(&self, now: Moment) -> BreakerState {
        match self.gate.load(Relaxed) {
            CALLS_GO => BreakerState::Closed,
            PROBES_BUSY => BreakerState::HalfOpen,
            from if from > now.nanos() => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// A pass for one call; none when no call may go.
    pub fn try_pass(self: &Arc<Self>, now: Moment) -> Option<Pass> {
        let mut inner = self.inner();
        match &mut inner.state {
            State::Closed => {}
            State::Open { until } if now < *until => return None,
            State::Open { .. } => {
                inner.generation += 1;
                inner.state = State::HalfOpen { running: 1, well: 0 };
            }
            State::HalfOpen { running, .. } if *running >= self.settings.probes => return None,
            State::HalfOpen { running, .. } => *running += 1,
        }
        self.show(&inner);
        Some(Pass {
            breaker: Arc::clone(self),
            generation: inner.generation,
            ended: false,
        })
    }

    /// The last change of this breaker, for the other workers; none when it never changed. `wall` is now by the time
    /// all workers share.
    #[must_use]
    pub fn news(&self, provider: &str, model: &str, now: Moment, wall: Timestamp) -> Option<BreakerNews> {
        let inner = self.inner();
        let Said {
            state,
            until,
            version,
            writer,
        } = inner.last;
        (version > 0).then(|| BreakerNews {
            provider: provider.to_owned(),
            model: model.to_owned(),
            state,
            until: match until {
                Until::Here(moment) => wall.plus(moment.since(now)),
                Until::Told(timestamp) => timestamp,
            },
            level: inner.level,
            version,
            writer,
        })
    }

    /// Hears another worker's news: obeys it when it is newer than what is known here, and says whether it was.
    ///
    /// The opening is lengthened here by up to a fifth, drawn by each worker for itself: the first to probe tells the
    /// others how it went. A time further away than any opening lasts is cut to that: clocks may disagree.
    pub fn hear(&self, news: &BreakerNews, now: Moment, wall: Timestamp) -> bool {
        let mut inner = self.inner();
        let known = (inner.last.version, inner.last.writer);
        if (news.version, news.writer) <= known {
            return false;
        }
        inner.last = Said {
            state: news.state,
            until: Until::Told(news.until),
            version: news.version,
            writer: news.writer,
        };
        inner.level = news.level;
        inner.generation += 1;
        inner.window.clear();
        inner.state = match news.state {
            NewsState::Closed => {
                inner.closed_at = Some(now);
                State::Closed
            }
            NewsState::Open => {
                let longest = self.settings.open_most.mul_f64(JITTER.1);
                let left = news.until.since(wall).min(longest);
                let longer = left.mul_f64(inner.draw.between(1.0, JITTER.1));
                State::Open {
                    until: now.plus(longer),
                }
            }
        };
        self.show(&inner);
        true
    }

    fn judge(&self, generation: u64, well: Option<bool>, now: Moment) -> Option<BreakerState> {
        let mut inner = self.inner();
        if inner.generation != generation {
            return None;
        }
        let changed = match (&mut inner.state, well) {
            (State::Closed, Some(well)) => {
                inner.window.add(well, now);
                let (all, ill) = inner.window.counts(now);
                let too_many = f64::from(ill) >= f64::from(all) * self.settings.failure_ratio;
                (!well && all >= self.settings.min_calls && too_many).then(|| self.open(&mut inner, now))
            }
            (State::Closed | State::Open { .. }, _) => None,
            (
                State::HalfOpen {
                    running,
                    well: enough,
                },
                word,
            ) => {
                *running = running.saturating_sub(1);
                match word {
                    None => None,
                    Some(true) => {
                        *enough += 1;
                        (*enough >= self.settings.closes_after).then(|| self.close(&mut inner, now))
                    }
                    Some(false) => Some(self.open(&mut inner, now)),
                }
            }
        };
        self.show(&inner);
        changed
    }

    fn open(&self, inner: &mut Inner, now: Moment) -> BreakerState {
        inner.level = match (inner.state, inner.closed_at) {
            (State::Closed, None) => 0,
            // One that opens again soon after it closed was not well: its openings go on growing.
            (State::Closed, Some(closed)) if now.since(closed) > self.settings.window => 0,
            _ => inner.level.saturating_add(1),
        };
        let doubled = 2_u32.saturating_pow(inner.level.min(31));
        let length = self
            .settings
            .open_first
            .saturating_mul(doubled)
            .min(self.settings.open_most);
        let until = now.plus(length.mul_f64(inner.draw.between(JITTER.0, JITTER.1)));
        inner.state = State::Open { until };
        self.changed(inner, NewsState::Open, until);
        BreakerState::Open
    }

    fn close(&self, inner: &mut Inner, now: Moment) -> BreakerState {
        inner.state = State::Closed;
        inner.closed_at = Some(now);
        self.changed(inner, NewsState::Closed, now);
        BreakerState::Closed
    }

    fn changed(&self, inner: &mut Inner, state: NewsState, until: Moment) {
        inner.window.clear();
        inner.generation += 1;
        inner.last = Said {
            state,
            until: Until::Here(until),
            version: inner.last.version.saturating_add(1),
            writer: self.writer,
        };
    }

    /// Leaves the state where readers look.
    fn show(&self, inner: &Inner) {
        let gate = match inner.state {
            State::Closed => CALLS_GO,
            State::Open { until } => until.nanos().clamp(CALLS_GO + 1, PROBES_BUSY - 1),
            State::HalfOpen { running, .. } if running >= self.settings.probes => PROBES_BUSY,
            State::HalfOpen { .. } => CALLS_GO + 1,
        };
        self.gate.store(gate, Relaxed);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The call ended: well, badly, or (none) without a word about the provider. Gives the state it changed to, if it
    /// changed: that is news.
    pub fn end(mut self, well: Option<bool>, now: Moment) -> Option<BreakerState> {
        self.ended = true;
        self.breaker.judge(self.generation, well, now)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.ended {
            // Without a word the moment does not matter.
            let _ = self.breaker.judge(self.generation, None, Moment::default());
        }
    }
}
