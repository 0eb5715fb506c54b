//! How good a candidate would be for a run: one number, from figures that are normalised over the candidates at hand.
//!
//! ```text
//! score   = health · room · (w.speed · speed + w.cost · cost + w.quality · quality) + preference
//! speed   = 1 − trust · (1 − shortest time / time)
//! time    = first-token time · (1 + used) + output tokens · time per token
//! cost    = (lowest cost + ε) / (cost + ε)                       ε = 0.00001 dollars
//! quality = tier / 5
//! health  = (1 − error rate)²
//! room    = 0.2 + 0.8 · min(1, headroom / 0.1)
//! preference = 1 for the hinted provider, 1 for a local one where local ones are preferred
//! ```
//!
//! `used` is the part of the provider's concurrency that is taken; the weights are the [`Policy`]'s. What is not known is
//! assumed: a candidate never tried counts as fast as the fastest (so that it gets tried; figures that nothing confirms
//! fade to the same), one without a price gets 0.25 for cost (a local one counts as free), one without a tier counts as
//! tier 2. Pure arithmetic: the same figures give the same score.

use super::figures::Reading;
use super::policy::{Policy, Weights};

/// Assumed for one half of the time where only the other was seen: a second, and fifty tokens a second.
const ASSUMED_FIRST_TOKEN: f32 = 1.0;
const ASSUMED_PER_TOKEN: f32 = 0.02;

const SMALL_COST: f32 = 1e-5;
const UNKNOWN_COST: f32 = 0.25;
const UNKNOWN_TIER: f32 = 2.0;
const TIERS: f32 = 5.0;

/// Above this part of its rate limit a provider has room enough.
const ROOMY: f32 = 0.1;
const LEAST_ROOM: f32 = 0.2;

/// What one candidate brings along for one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Merits {
    /// Expected seconds to the whole answer; none when never tried.
    pub(super) time: Option<f32>,
    /// Expected cost in dollars; none when the price is not known.
    pub(super) cost: Option<f32>,
    /// 1 to 5; 0 when not known.
    pub(super) tier: u8,
    pub(super) reading: Reading,
    /// How many preferences it fulfils: the hint, being local.
    pub(super) preferred: u8,
}

/// The best of the candidates at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    time: f32,
    cost: f32,
}

impl Default for Best {
    fn default() -> Self {
        Self {
            time: f32::INFINITY,
            cost: f32::INFINITY,
        }
    }
}

impl Best {
    pub(super) fn see(&mut self, merits: &Merits) {
        self.time = self.time.min(merits.time.unwrap_or(f32::INFINITY));
        self.cost = self.cost.min(merits.cost.unwrap_or(f32::INFINITY));
    }
}

/// Expected seconds to an answer of so many tokens; none when nothing was ever seen.
pub(super) fn expected_time(reading: &Reading, output_tokens: f32, used: f32) -> Option<f32> {
    if reading.first_token.is_none() && reading.per_token.is_none() {
        return None;
    }
    let first = reading.first_token.unwrap_or(ASSUMED_FIRST_TOKEN);
    let each = reading.per_token.unwrap_or(ASSUMED_PER_TOKEN);
    Some(first * (1.0 + used) + output_tokens * each)
}

/// The score: 0 to 1, and 1 more for each preference.
pub(super) fn score(policy: Policy, merits: &Merits, best: &Best) -> f32 {
    let Merits {
        time,
        cost,
        tier,
        reading,
        preferred,
    } = merits;
    let speed = time.map_or(1.0, |time| {
        let ratio = if time > 0.0 { best.time / time } else { 1.0 };
        1.0 - reading.trust * (1.0 - ratio)
    });
    let cost = cost.map_or(UNKNOWN_COST, |cost| {
        (best.cost + SMALL_COST) / (cost + SMALL_COST)
    });
    // By constants it is multiplied: a division for each of hundreds of candidates is felt.
    let quality = (1.0 / TIERS)
        * if *tier == 0 {
            UNKNOWN_TIER
        } else {
            f32::from(*tier)
        };
    let well = 1.0 - reading.error_rate;
    let room = LEAST_ROOM + (1.0 - LEAST_ROOM) * (reading.headroom * (1.0 / ROOMY)).min(1.0);
    let weights = Weights::of(policy);
    let merit = weights.speed * speed + weights.cost * cost + weights.quality * quality;
    well * well * room * merit + f32::from(*preferred)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRESH: Reading = Reading {
        first_token: Some(0.5),
        per_token: Some(0.01),
        trust: 1.0,
        error_rate: 0.01,
        headroom: 1.0,
        in_flight: 0,
    };

    fn merits(time: Option<f32>, cost: Option<f32>, tier: u8) -> Merits {
        Merits {
            time,
            cost,
            tier,
            reading: FRESH,
            preferred: 0,
        }
    }

    fn scores(policy: Policy, candidates: &[Merits]) -> Vec<f32> {
        let mut best = Best::default();
        candidates.iter().for_each(|merits| best.see(merits));
        candidates
            .iter()
            .map(|merits| score(policy, merits, &best))
            .collect()
    }

    fn winner(policy: Policy, candidates: &[Merits]) -> usize {
        let scores = scores(policy, candidates);
        (0..scores.len())
            .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
            .unwrap()
    }

    #[test]
    fn each_policy_picks_what_it_is_named_after() {
        let quick = merits(Some(1.0), Some(0.02), 3);
        let cheap = merits(Some(9.0), Some(0.001), 2);
        let clever = merits(Some(12.0), Some(0.05), 5);
        let all = [quick, cheap, clever];
        assert_eq!(winner(Policy::Fastest, &all), 0);
        assert_eq!(winner(Policy::Cheapest, &all), 1);
        assert_eq!(winner(Policy::Quality, &all), 2);
    }

    #[test]
    fn a_failing_provider_is_no_bargain_and_one_near_its_limit_is_spared() {
        let mut failing = merits(Some(1.0), Some(0.001), 3);
        failing.reading.error_rate = 0.8;
        let mut exhausted = merits(Some(1.0), Some(0.001), 3);
        exhausted.reading.headroom = 0.0;
        let dear = merits(Some(2.0), Some(0.002), 3);
        assert_eq!(winner(Policy::Cheapest, &[failing, dear]), 1);
        assert_eq!(winner(Policy::Cheapest, &[exhausted, dear]), 1);
    }

    #[test]
    fn the_untried_and_the_long_unseen_count_as_fast_as_the_fastest() {
        let seen = merits(Some(1.0), Some(0.01), 3);
        let untried = merits(None, Some(0.01), 3);
        let mut unseen_for_long = merits(Some(50.0), Some(0.01), 3);
        unseen_for_long.reading.trust = 0.0;
        let slow = merits(Some(50.0), Some(0.01), 3);
        let scores = scores(Policy::Fastest, &[seen, untried, unseen_for_long, slow]);
        assert!((scores[0] - scores[1]).abs() < 1e-6);
        assert!((scores[0] - scores[2]).abs() < 1e-6);
        assert!(scores[3] < 0.1);
    }

    #[test]
    fn an_unknown_price_is_neither_free_nor_hopeless() {
        let cheap = merits(Some(1.0), Some(0.001), 3);
        let unknown = merits(Some(1.0), None, 3);
        let dear = merits(Some(1.0), Some(0.1), 3);
        let scores = scores(Policy::Cheapest, &[cheap, unknown, dear]);
        assert!(scores[0] > scores[1] && scores[1] > scores[2], "{scores:?}");
    }

    #[test]
    fn the_expected_time_counts_the_queue_and_the_length() {
        let near = |one: f32, other: f32| (one - other).abs() < 1e-5;
        assert!(near(expected_time(&FRESH, 100.0, 0.0).unwrap(), 1.5));
        assert!(near(expected_time(&FRESH, 100.0, 1.0).unwrap(), 2.0));
        let only_speed = Reading {
            first_token: None,
            ..FRESH
        };
        assert!(near(expected_time(&only_speed, 100.0, 0.0).unwrap(), 2.0));
        let nothing = Reading {
            per_token: None,
            ..only_speed
        };
        assert_eq!(expected_time(&nothing, 100.0, 0.0), None);
    }

    fn any_merits() -> impl Strategy<Value = Merits> {
        let time = prop::option::of(0.01_f32..600.0);
        let cost = prop::option::of(0.0_f32..10.0);
        (
            time,
            cost,
            0_u8..6,
            0.0_f32..=1.0,
            0.001_f32..0.999,
            0.0_f32..=1.0,
        )
            .prop_map(|(time, cost, tier, trust, error_rate, headroom)| Merits {
                time,
                cost,
                tier,
                reading: Reading {
                    trust,
                    error_rate,
                    headroom,
                    ..FRESH
                },
                preferred: 0,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Between 0 and 1, whatever the figures; and being preferred beats every merit.
        #[test]
        fn scores_are_bounded(
            candidates in proptest::collection::vec(any_merits(), 1..20),
            policy in proptest::sample::select(&Policy::ALL[..]),
        ) {
            for score in scores(policy, &candidates) {
                prop_assert!((0.0..=1.0).contains(&score), "{}", score);
            }
            let mut preferred = candidates.clone();
            preferred[0].preferred = 1;
            prop_assert_eq!(winner(policy, &preferred), 0);
        }

        /// Being cheaper, faster, better or healthier than before never makes a candidate worse.
        #[test]
        fn better_figures_never_hurt(
            others in proptest::collection::vec(any_merits(), 0..6),
            one in any_merits(),
            policy in proptest::sample::select(&Policy::ALL[..]),
        ) {
            let with = |merits: Merits| {
                let mut all = others.clone();
                all.push(merits);
                *scores(policy, &all).last().unwrap()
            };
            let mut better = one;
            better.time = one.time.map(|time| time * 0.5);
            better.cost = one.cost.map(|cost| cost * 0.5);
            better.tier = if one.tier == 0 { 2 } else { (one.tier + 1).min(5) };
            better.reading.error_rate *= 0.5;
            prop_assert!(with(better) >= with(one) - 1e-6);
        }
    }
}
