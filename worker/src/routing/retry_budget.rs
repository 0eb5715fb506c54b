//! How many retries a worker may make: a share of its calls, so that an outage is not amplified. Each worker keeps its
//! own share, and so does the fleet.
//!
//! A token bucket whose tokens go bad, as Finagle's `RetryBudget` (20 % of requests, tokens expire after 10 s;
//! <https://finagle.github.io/blog/2016/02/08/retry-budgets>). Ours gives less without calls - one retry in two seconds
//! instead of ten a second - because a call of a model costs more than an RPC.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::moment::{Moment, nanos};

/// Slots of the time over which calls count.
const SLOTS: usize = 10;

/// Shares are reckoned in hundredths of a retry.
const RETRY: i64 = 100;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Retries for each 100 calls; none for no bound.
    pub percent: Option<u32>,
    /// Retries in each 100 seconds that need no calls.
    pub spare_per_100s: u32,
    /// How long a call counts.
    pub memory: Duration,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            percent: Some(20),
            spare_per_100s: 50,
            memory: Duration::from_secs(10),
        }
    }
}

/// The budget of one worker.
#[derive(Debug)]
pub struct RetryBudget {
    settings: BudgetSettings,
    slots: Mutex<[Slot; SLOTS]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    index: u64,
    /// Hundredths of a retry: what came in less what went out.
    balance: i64,
}

impl RetryBudget {
    /// A budget without calls yet.
    #[must_use]
    pub fn new(settings: BudgetSettings) -> Self {
        Self {
            settings,
            slots: Mutex::new([Slot::default(); SLOTS]),
        }
    }

    /// A first call of a run, not a retry: pays in.
    pub fn call(&self, now: Moment) {
        if let Some(percent) = self.settings.percent {
            self.change(i64::from(percent), now, &mut self.slots());
        }
    }

    /// Whether a retry may be made now; takes it out of the budget.
    #[must_use]
    pub fn try_retry(&self, now: Moment) -> bool {
        if self.settings.percent.is_none() {
            return true;
        }
        let mut slots = self.slots();
        let allowed = self.balance(now, &slots) >= RETRY;
        if allowed {
            self.change(-RETRY, now, &mut slots);
        }
        allowed
    }

    fn index(&self, now: Moment) -> u64 {
        let slot = nanos(self.settings.memory) / SLOTS as u64;
        now.nanos() / slot.max(1) + SLOTS as u64
    }

    fn balance(&self, now: Moment, slots: &[Slot; SLOTS]) -> i64 {
        let index = self.index(now);
        let fresh = slots.iter().filter(|slot| slot.index + SLOTS as u64 > index);
        let seconds = i64::try_from(self.settings.memory.as_secs()).unwrap_or(i64::MAX);
        // Retries per 100 s over some seconds, in hundredths: the hundreds cancel out.
        let spare = i64::from(self.settings.spare_per_100s).saturating_mul(seconds);
        fresh.fold(spare, |sum, slot| sum.saturating_add(slot.balance))
    }

    fn change(&self, by: i64, now: Moment, slots: &mut [Slot; SLOTS]) {
        let index = self.index(now);
        let slot = &mut slots[usize::try_from(index % SLOTS as u64).unwrap_or(0)];
        if slot.index != index {
            *slot = Slot { index, balance: 0 };
        }
        slot.balance = slot.balance.saturating_add(by);
    }

    fn slots(&self) -> MutexGuard<'_, [Slot; SLOTS]> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000 + 1)
    }

    #[test]
    fn one_in_five_and_a_small_spare() {
        let budget = RetryBudget::new(BudgetSettings::default());
        for _ in 0..100 {
            budget.call(at(0));
        }
        let retries = (0..100).filter(|_| budget.try_retry(at(1))).count();
        assert_eq!(retries, 20 + 5);
    }

    #[test]
    fn what_was_saved_goes_bad() {
        let budget = RetryBudget::new(BudgetSettings::default());
        for _ in 0..1_000 {
            budget.call(at(0));
        }
        assert_eq!((0..100).filter(|_| budget.try_retry(at(10_000))).count(), 5);
    }

    #[test]
    fn without_a_bound_every_retry_is_made() {
        let budget = RetryBudget::new(BudgetSettings {
            percent: None,
            ..BudgetSettings::default()
        });
        assert!((0..1_000).all(|_| budget.try_retry(at(1))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// In an outage every call fails and wants three retries: they stay within the share, however calls come.
        #[test]
        fn an_outage_is_not_amplified(gaps in proptest::collection::vec(0_u64..200, 100..2_000)) {
            let budget = RetryBudget::new(BudgetSettings::default());
            let (mut millis, mut retries) = (0, 0_u64);
            for gap in &gaps {
                millis += gap;
                budget.call(at(millis));
                for _ in 0..3 {
                    retries += u64::from(budget.try_retry(at(millis)));
                }
            }
            let share = gaps.len() as u64 / 5;
            // What is spent within one memory comes back as spare when it is forgotten: at most once each memory.
            let spare = 5 * (1 + millis / 9_000);
            prop_assert!(retries <= share + spare, "{} of {} + {}", retries, share, spare);
            prop_assert!(retries >= share.min(1));
        }
    }
}
