//! What the merits of a candidate count, by policy.

pub use shared::domain::Policy;

/// What the merits of a candidate count; together 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weights {
    pub(super) speed: f32,
    pub(super) cost: f32,
    pub(super) quality: f32,
}

impl Weights {
    /// The one-sided policies leave a twentieth to the rest, which decides between equals.
    pub(super) const fn of(policy: Policy) -> Self {
        let (speed, cost, quality) = match policy {
            Policy::Balanced | Policy::LocalFirst => (0.40, 0.35, 0.25),
            Policy::Cheapest => (0.05, 0.95, 0.0),
            Policy::Fastest => (0.95, 0.05, 0.0),
            Policy::Quality => (0.05, 0.05, 0.90),
        };
        Self { speed, cost, quality }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares() {
        for policy in Policy::ALL {
            let Weights { speed, cost, quality } = Weights::of(policy);
            assert!((speed + cost + quality - 1.0).abs() < 1e-6, "{policy}");
        }
    }
}
