//! How many calls a provider gets at the same time: a cap that backs off when it is asked to and creeps up again.
//!
//! Additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
//! Congestion Avoidance", 1989), with CUBIC's factor of 0.7 (RFC 9438, section 4.6).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::moment::Moment;

/// What is left of the cap after a refusal.
const DECREASE: f64 = 0.7;

/// The cap is never cut below this. A provider that refuses with fewer calls under way is not overloaded by us, and one
/// long call must not keep all others waiting: the cap only grows as calls end.
const LEAST: u32 = 4;

/// Refusals within this time are one: they answer the same burst.
const ONE_BURST: Duration = Duration::from_secs(1);

/// The cap of one provider.
#[derive(Debug)]
pub(in super::super) struct Concurrency {
    most: u32,
    /// The whole part of the cap, for readers.
    cap: AtomicU32,
    in_flight: AtomicU32,
    adapting: Mutex<Adapting>,
}

#[derive(Debug)]
struct Adapting {
    cap: f64,
    cut: Option<Moment>,
}

/// One call's place. Given back when dropped.
#[derive(Debug)]
pub(in super::super) struct Place(Arc<Concurrency>);

impl Concurrency {
    /// At most so many calls; none for no cap until the provider asks for one.
    pub(in super::super) fn new(most: Option<u32>) -> Self {
        let most = most.unwrap_or(u32::MAX).max(1);
        Self {
            most,
            cap: AtomicU32::new(most),
            in_flight: AtomicU32::new(0),
            adapting: Mutex::new(Adapting {
                cap: f64::from(most),
                cut: None,
            }),
        }
    }

    pub(in super::super) fn has_room(&self) -> bool {
        self.in_flight.load(Relaxed) < self.cap.load(Relaxed)
    }

    /// Calls that run now, as a part of the cap; 0 where there is none.
    pub(in super::super) fn used(&self) -> f32 {
        let cap = self.cap.load(Relaxed);
        if cap == u32::MAX {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio; seven digits are plenty")]
        let used = self.in_flight.load(Relaxed) as f32 / cap as f32;
        used
    }

    pub(in super::super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let cap = self.cap.load(Relaxed);
        self.in_flight
            .fetch_update(Relaxed, Relaxed, |running| (running < cap).then_some(running + 1))
            .ok()
            .map(|_| Place(Arc::clone(self)))
    }

    /// A call ended well: the cap grows by one in the time in which as many calls as it allows have ended, and only
    /// while it is what holds calls back.
    pub(in super::super) fn went_well(&self) {
        let cap = self.cap.load(Relaxed);
        if cap >= self.most || self.in_flight.load(Relaxed) < cap {
            return;
        }
        let mut adapting = self.adapting.lock().unwrap_or_else(PoisonError::into_inner);
        adapting.cap = (adapting.cap + 1.0 / adapting.cap).min(f64::from(self.most));
        self.show(&adapting);
    }

    /// The provider asked for less.
    pub(in super::super) fn refused(&self, now: Moment) {
        let mut adapting = self.adapting.lock().unwrap_or_else(PoisonError::into_inner);
        if adapting.cut.is_some_and(|cut| now.since(cut) < ONE_BURST) {
            return;
        }
        adapting.cut = Some(now);
        // The call that was refused has still its place: it is part of what was too much.
        let running = f64::from(self.in_flight.load(Relaxed));
        let least = f64::from(self.most.min(LEAST));
        adapting.cap = (adapting.cap.min(running) * DECREASE).max(least);
        self.show(&adapting);
    }

    fn show(&self, adapting: &Adapting) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and `most`, which is a u32"
        )]
        self.cap.store(adapting.cap as u32, Relaxed);
    }

    #[cfg(test)]
    pub(super) fn cap(&self) -> u32 {
        self.cap.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000 + 1)
    }

    fn fill(concurrency: &Arc<Concurrency>) -> Vec<Place> {
        std::iter::from_fn(|| concurrency.enter()).take(10_000).collect()
    }

    #[test]
    fn the_cap_is_kept_and_places_come_back() {
        let concurrency = Arc::new(Concurrency::new(Some(3)));
        let places = fill(&concurrency);
        assert_eq!(places.len(), 3);
        assert!(!concurrency.has_room());
        drop(places);
        assert!(concurrency.has_room());
        assert_eq!(fill(&concurrency).len(), 3);
    }

    #[test]
    fn a_burst_of_refusals_cuts_once_and_success_creeps_back() {
        let concurrency = Arc::new(Concurrency::new(Some(10)));
        let places = fill(&concurrency);
        for _ in 0..10 {
            concurrency.refused(at(500));
        }
        assert_eq!(concurrency.cap(), 7);
        concurrency.refused(at(1_500));
        assert_eq!(concurrency.cap(), 4);
        drop(places);
        concurrency.went_well();
        assert_eq!(
            concurrency.cap(),
            4,
            "nothing was held back: the cap says nothing"
        );
        let _places = fill(&concurrency);
        for _ in 0..5 {
            concurrency.went_well();
        }
        assert!((5..=6).contains(&concurrency.cap()), "{}", concurrency.cap());
        for _ in 0..1_000 {
            let _more = fill(&concurrency);
            concurrency.went_well();
        }
        let _all = fill(&concurrency);
        assert!(concurrency.cap() <= 10);
    }

    #[test]
    fn without_a_cap_the_first_refusal_makes_one() {
        let concurrency = Arc::new(Concurrency::new(None));
        let places: Vec<_> = (0..100).filter_map(|_| concurrency.enter()).collect();
        assert_eq!(places.len(), 100);
        assert!(concurrency.used() < f32::EPSILON);
        concurrency.refused(at(0));
        assert_eq!(concurrency.cap(), 70);
        assert!(concurrency.used() > 1.0);
        for step in 1..50 {
            concurrency.refused(at(step * 2_000));
        }
        assert_eq!(
            concurrency.cap(),
            LEAST,
            "never nothing: the way back needs calls"
        );
    }
}
