//! Money: exact integers inside, US dollars outside. An unknown price is `None`, never 0.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in billionths of a US dollar. Written as JSON in dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(i64);

impl Usd {
    const NANOS: f64 = 1e9;

    /// From billionths of a dollar.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Billionths of a dollar.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Dollars, for showing.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "for showing; exact below 9 million dollars"
    )]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / Self::NANOS
    }

    /// From dollars, rounded to the nearest billionth; none for what is not a sensible amount.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        (dollars.is_finite() && (0.0..9e9).contains(&dollars))
            .then(|| Self((dollars * Self::NANOS).round() as i64))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        Self::from_dollars(dollars).ok_or_else(|| serde::de::Error::custom("not an amount in US dollars"))
    }
}

/// What a provider charges, in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Per million tokens sent.
    pub input_per_million: Usd,
    /// Per million tokens generated.
    pub output_per_million: Usd,
}

impl Price {
    /// Cost of a call with so many tokens, rounded up to the next billionth; saturates.
    #[must_use]
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Usd {
        let nanos = |tokens: u64, per_million: Usd| i128::from(tokens) * i128::from(per_million.nanos());
        let total =
            nanos(input_tokens, self.input_per_million) + nanos(output_tokens, self.output_per_million);
        let rounded_up = (total + 999_999).div_euclid(1_000_000);
        Usd(i64::try_from(rounded_up).unwrap_or(i64::MAX))
    }
}

/// What a run is expected to take, said at submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// Upper bound of tokens to be generated.
    pub output_tokens: u32,
    /// US dollars; null when the price is unknown.
    pub cost_usd: Option<Usd>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_exact_and_rounds_up() {
        let price = Price {
            input_per_million: Usd::from_dollars(2.5).unwrap(),
            output_per_million: Usd::from_dollars(10.0).unwrap(),
        };
        assert_eq!(price.cost(1_000_000, 100_000), Usd::from_dollars(3.5).unwrap());
        assert_eq!(price.cost(1, 0), Usd::from_nanos(2_500));
        let tiny = Price {
            input_per_million: Usd::from_nanos(1),
            output_per_million: Usd::default(),
        };
        assert_eq!(tiny.cost(1, 0), Usd::from_nanos(1));
        assert_eq!(price.cost(u64::MAX, u64::MAX), Usd::from_nanos(i64::MAX));
    }

    #[test]
    fn absurd_amounts_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 1e30] {
            assert_eq!(Usd::from_dollars(bad), None);
        }
    }
}
