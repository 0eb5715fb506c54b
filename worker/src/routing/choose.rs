//! One of those that are nearly as good as the best. All workers see much the same figures: did each take the best,
//! they would all take the same, and it would not be the best for long.
//!
//! Of two drawn at random the less busy one is taken: "the power of two choices" (Mitzenmacher, "The Power of Two Choices
//! in Randomized Load Balancing", 1996), which spreads load nearly as well as knowing all loads.

use super::draw::Draw;

/// A score so much below the best is as good as the best: less than the figures themselves are certain.
pub const MARGIN: f32 = 0.05;

/// What was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Its position.
    pub(super) position: usize,
    /// How many were as good as the best.
    pub(super) near: usize,
}

/// Draws one of these scores; none of none. `load` says how many calls run at a position. The same candidates and the
/// same state of `draw` give the same.
pub(super) fn pick(scores: &[f32], load: impl Fn(usize) -> u32, draw: &mut Draw) -> Option<Drawn> {
    let top = scores.iter().copied().reduce(f32::max)?;
    let is_near = |score: f32| score >= top - MARGIN;
    let count = scores.iter().filter(|score| is_near(**score)).count();
    let nth = |nth| {
        let near = scores.iter().enumerate().filter(|(_, score)| is_near(**score));
        near.map(|(position, _)| position).nth(nth)
    };
    let first = below(draw, count);
    let mut position = nth(first)?;
    if count > 1 {
        let other = below(draw, count - 1);
        let other = nth(if other >= first { other + 1 } else { other })?;
        if load(other) < load(position) {
            position = other;
        }
    }
    Some(Drawn {
        position,
        near: count,
    })
}

fn below(draw: &mut Draw, count: usize) -> usize {
    usize::try_from(draw.below(count as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pick(candidates: &[(f32, u32)], draw: &mut Draw) -> Option<Drawn> {
        let scores: Vec<f32> = candidates.iter().map(|(score, _)| *score).collect();
        super::pick(&scores, |position| candidates[position].1, draw)
    }

    #[test]
    fn a_hundred_workers_with_the_same_figures_spread() {
        let candidates = [(0.80, 0), (0.79, 0), (0.78, 0), (0.76, 0), (0.60, 0)];
        let mut taken = [0; 5];
        for worker in 0..100 {
            let mut draw = Draw::seeded(worker);
            taken[pick(&candidates, &mut draw).unwrap().position] += 1;
        }
        assert!(taken[..4].iter().all(|&times| times >= 10), "{taken:?}");
        assert_eq!(taken[4], 0, "clearly worse");
    }

    #[test]
    fn the_less_busy_of_two_is_taken() {
        let candidates = [(0.80, 9), (0.79, 1)];
        for seed in 0..100 {
            let drawn = pick(&candidates, &mut Draw::seeded(seed)).unwrap();
            assert_eq!((drawn.position, drawn.near), (1, 2));
        }
    }

    /// Loads that are counted as they arise stay close together: far closer than by drawing blindly.
    #[test]
    fn loads_stay_even() {
        let mut candidates = [(0.8, 0); 10];
        let mut draw = Draw::seeded(5);
        for _ in 0..10_000 {
            let drawn = pick(&candidates, &mut draw).unwrap();
            candidates[drawn.position].1 += 1;
        }
        let loads = candidates.map(|(_, load)| load);
        let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
        assert!(spread <= 10, "{loads:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_clearly_worse_is_taken_and_a_seed_decides(
            candidates in proptest::collection::vec((0.0_f32..2.0, 0_u32..50), 0..40),
            seed: u64,
        ) {
            let drawn = pick(&candidates, &mut Draw::seeded(seed));
            prop_assert_eq!(drawn, pick(&candidates, &mut Draw::seeded(seed)));
            let top = candidates.iter().map(|(score, _)| *score).fold(0.0, f32::max);
            match drawn {
                Some(drawn) => prop_assert!(candidates[drawn.position].0 >= top - MARGIN),
                None => prop_assert!(candidates.is_empty()),
            }
        }
    }
}
