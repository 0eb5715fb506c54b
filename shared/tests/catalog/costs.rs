//! What a call costs: whole billionths of a dollar, rounded up once.

use shared::catalog::{Prices, Rates, Tier, UsageCounts};
use shared::domain::Usd;

fn usd(dollars: f64) -> Usd {
    Usd::from_dollars(dollars).unwrap()
}

fn long_prompts() -> Prices {
    Prices {
        base: Rates {
            cached_input: Some(usd(0.125)),
            ..Rates::plain(usd(1.25), usd(10.0))
        },
        tiers: vec![
            Tier {
                above_input_tokens: 200_000,
                rates: Rates::plain(usd(2.5), usd(15.0)),
            },
            Tier {
                above_input_tokens: 500_000,
                rates: Rates::plain(usd(5.0), usd(30.0)),
            },
        ],
    }
}

#[test]
fn every_part_is_charged_at_its_own_rate() {
    let rates = Rates {
        cached_input: Some(usd(0.3)),
        cache_write: Some(usd(3.75)),
        reasoning: Some(usd(20.0)),
        ..Rates::plain(usd(3.0), usd(15.0))
    };
    let usage = UsageCounts {
        input: 1_000,
        output: 500,
        cached_input: 600,
        cache_write: 100,
        reasoning: 200,
    };
    // 300 at 3, 600 at 0.3, 100 at 3.75, 300 at 15, 200 at 20: 9,955 millionths of a dollar.
    assert_eq!(rates.cost(&usage), Usd::from_nanos(9_955_000));
}

#[test]
fn parts_without_a_rate_are_charged_as_their_whole() {
    let rates = Rates::plain(usd(3.0), usd(15.0));
    let usage = UsageCounts {
        cached_input: 600,
        cache_write: 100,
        reasoning: 200,
        ..UsageCounts::plain(1_000, 500)
    };
    assert_eq!(rates.cost(&usage), rates.cost(&UsageCounts::plain(1_000, 500)));
    assert_eq!(rates.cost(&usage), Usd::from_nanos(10_500_000));
}

#[test]
fn a_part_larger_than_its_whole_counts_as_the_whole() {
    let rates = Rates {
        cached_input: Some(usd(0.3)),
        cache_write: Some(usd(3.75)),
        reasoning: Some(usd(20.0)),
        ..Rates::plain(usd(3.0), usd(15.0))
    };
    let usage = UsageCounts {
        input: 100,
        output: 10,
        cached_input: 70,
        cache_write: 70,
        reasoning: 11,
    };
    // 70 at 0.3, 30 at 3.75, 10 at 20.
    assert_eq!(rates.cost(&usage), Usd::from_nanos(21_000 + 112_500 + 200_000));
}

#[test]
fn a_long_prompt_is_charged_at_its_tier_as_a_whole() {
    let prices = long_prompts();
    for (input, nanos) in [
        (0, 0),
        (200_000, 250_000_000),
        (200_001, 500_002_500),
        (500_000, 1_250_000_000),
        (500_001, 2_500_005_000),
    ] {
        let cost = prices.cost(&UsageCounts::plain(input, 0));
        assert_eq!(cost, Usd::from_nanos(nanos), "{input} tokens");
    }
    // The tier goes by the whole prompt, also what was cached.
    let cached = UsageCounts {
        cached_input: 200_001,
        ..UsageCounts::plain(200_001, 0)
    };
    assert_eq!(prices.cost(&cached), Usd::from_nanos(500_002_500));
}

#[test]
fn sums_are_exact_rounded_up_once_and_saturate() {
    let tiny = Rates::plain(Usd::from_nanos(1), Usd::from_nanos(1));
    assert_eq!(tiny.cost(&UsageCounts::plain(1, 1)), Usd::from_nanos(1));
    assert_eq!(tiny.cost(&UsageCounts::plain(999_999, 1)), Usd::from_nanos(1));
    assert_eq!(tiny.cost(&UsageCounts::plain(999_999, 2)), Usd::from_nanos(2));
    assert_eq!(tiny.cost(&UsageCounts::default()), Usd::from_nanos(0));
    let most = Rates::plain(Usd::from_nanos(i64::MAX), Usd::from_nanos(i64::MAX));
    let cost = most.cost(&UsageCounts::plain(u64::MAX, u64::MAX));
    assert_eq!(cost, Usd::from_nanos(i64::MAX));
    // Three times a tenth of a dollar is not 0.30000000000000004.
    let tenth = Rates::plain(usd(0.1), usd(0.1));
    assert_eq!(tenth.cost(&UsageCounts::plain(3_000_000, 0)), usd(0.3));
}
