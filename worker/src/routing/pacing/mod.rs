//! The pace a provider allows: requests and tokens per minute for each key, calls at the same time for all of them. Its
//! limits are met by holding back, not by running into 429s; a 429 that comes all the same is obeyed.
//!
//! Never judges health: a provider that asks for a slower pace is well.

mod concurrency;
mod key;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shared::catalog::Limits;

use super::moment::Moment;
use super::verdict::Verdict;
use concurrency::{Concurrency, Place};
use key::KeyPace;

/// The pace of one provider.
#[derive(Debug)]
pub struct Pacing {
    keys: Box<[KeyPace]>,
    next: AtomicUsize,
    concurrency: Arc<Concurrency>,
}

/// Why a call is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// No key may be used before this moment.
    RateLimited(Moment),
    /// As many calls run as may; one of them has to end.
    Concurrency,
}

/// A call that may go out.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Admission {
    pacing: Arc<Pacing>,
    key: usize,
    _place: Place,
}

impl Pacing {
    /// The pace of a provider with these limits and so many keys (one without a key has one that is empty). Limits are
    /// the whole fleet's: each of its `workers` takes an equal part.
    #[must_use]
    pub fn new(limits: Limits, keys: usize, workers: NonZeroU32) -> Self {
        let part = |limit: u32| (limit / workers).max(1);
        let limits = Limits {
            rpm: limits.rpm.map(part),
            tpm: limits
                .tpm
                .map(|tokens| (tokens / u64::from(workers.get())).max(1)),
            concurrency: limits.concurrency.map(part),
        };
        Self {
            keys: (0..keys.max(1)).map(|_| KeyPace::new(limits)).collect(),
            next: AtomicUsize::new(0),
            concurrency: Arc::new(Concurrency::new(limits.concurrency)),
        }
    }

    /// Why no call could go now; none when one may be tried. Takes nothing.
    #[must_use]
    pub fn held(&self, now: Moment) -> Option<Held> {
        if !self.concurrency.has_room() {
            return Some(Held::Concurrency);
        }
        let first = self.keys.iter().map(KeyPace::opens_at).min()?;
        (first > now).then_some(Held::RateLimited(first))
    }

    /// How much of the cap on calls at the same time is used, 0 to 1; 0 where there is none.
    #[must_use]
    pub fn used(&self) -> f32 {
        self.concurrency.used()
    }

    /// Takes a place, and the pace of one key, for a call of so many tokens. Keys take turns.
    ///
    /// # Errors
    /// Why it has to wait.
    pub fn try_admit(self: &Arc<Self>, tokens: u32, now: Moment) -> Result<Admission, Held> {
        let place = self.concurrency.enter().ok_or(Held::Concurrency)?;
        let count = self.keys.len();
        let turn = self.next.fetch_add(1, Relaxed);
        let mut earliest = None;
        for step in 0..count {
            let key = turn.wrapping_add(step) % count;
            match self.keys[key].take(tokens, now) {
                Ok(()) => {
                    return Ok(Admission {
                        pacing: Arc::clone(self),
                        key,
                        _place: place,
                    });
                }
                Err(until) => earliest = Some(earliest.map_or(until, |known: Moment| known.min(until))),
            }
        }
        Err(Held::RateLimited(earliest.unwrap_or(now)))
    }
}

impl Admission {
    /// Which of the provider's keys to use, counted from 0.
    #[must_use]
    pub const fn key(&self) -> usize {
        self.key
    }

    /// The provider said that nothing is left for this key until then.
    pub fn exhausted(&self, until: Moment) {
        self.pacing.keys[self.key].rests_until(until);
    }

    /// How the call ended. Gives the place back.
    pub fn end(self, verdict: Verdict, now: Moment) {
        let Pacing {
            keys, concurrency, ..
        } = &*self.pacing;
        let key = &keys[self.key];
        match verdict {
            Verdict::Well => {
                key.went_well();
                concurrency.went_well();
            }
            Verdict::Paced { retry_after } => {
                key.paced(retry_after, now);
                concurrency.refused(now);
            }
            Verdict::Overloaded { retry_after } => {
                if retry_after.is_some() {
                    key.paced(retry_after, now);
                }
                concurrency.refused(now);
            }
            // An only key goes on being tried: its refusal tells what is wrong, and waiting would not.
            Verdict::KeyRefused if keys.len() > 1 => key.refused(now),
            Verdict::KeyRefused => {}
            Verdict::Ill | Verdict::NoWord => {}
        }
    }
}
