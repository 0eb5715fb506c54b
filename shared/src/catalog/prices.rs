//! What a model charges, and what a call cost. Whole billionths of a dollar throughout; a price that is not known
//! is `None` at the model, never 0.

use crate::domain::Usd;

/// What a model charges: its ordinary rates, and others for long prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// What counts unless a tier does.
    pub base: Rates,
    /// What counts instead for long prompts; ascending by `above_input_tokens`.
    pub tiers: Vec<Tier>,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Tokens sent.
    pub input: Usd,
    /// Tokens generated.
    pub output: Usd,
    /// Tokens sent that the provider had in its cache; charged as `input` when not known.
    pub cached_input: Option<Usd>,
    /// Tokens sent that the provider wrote to its cache; charged as `input` when not known.
    pub cache_write: Option<Usd>,
    /// Tokens generated for reasoning; charged as `output` when not known, which is what most providers do.
    pub reasoning: Option<Usd>,
}

/// Rates of a call whose prompt is longer than so many tokens. They count for the whole call, not for the excess:
/// that is how the vendors that have tiers bill (Gemini: <https://ai.google.dev/gemini-api/docs/pricing>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The longest prompt that does not reach this tier, in tokens, cached ones included.
    pub above_input_tokens: u32,
    /// What counts then.
    pub rates: Rates,
}

/// Tokens of one call, in OpenAI's way of counting: what is cached or reasoned is part of the whole it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageCounts {
    /// All tokens of the prompt.
    pub input: u64,
    /// All tokens generated.
    pub output: u64,
    /// Of the input: read from the provider's cache.
    pub cached_input: u64,
    /// Of the input: written to the provider's cache.
    pub cache_write: u64,
    /// Of the output: reasoning.
    pub reasoning: u64,
}

impl UsageCounts {
    /// A call without caches or reasoning: what an estimate knows.
    #[must_use]
    pub const fn plain(input: u64, output: u64) -> Self {
        Self {
            input,
            output,
            cached_input: 0,
            cache_write: 0,
            reasoning: 0,
        }
    }
}

impl Rates {
    /// These two rates, and nothing known about caches or reasoning.
    #[must_use]
    pub const fn plain(input: Usd, output: Usd) -> Self {
        Self {
            input,
            output,
            cached_input: None,
            cache_write: None,
            reasoning: None,
        }
    }

    /// Cost of these tokens, rounded up to the next billionth; saturates. A part that is reported larger than its
    /// whole counts as the whole: the whole is what the provider is sure of.
    #[must_use]
    pub fn cost(&self, usage: &UsageCounts) -> Usd {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let reasoning = usage.reasoning.min(usage.output);
        let parts = [
            (usage.input - cached - written, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (written, self.cache_write.unwrap_or(self.input)),
            (usage.output - reasoning, self.output),
            (reasoning, self.reasoning.unwrap_or(self.output)),
        ];
        // 64 by 64 bits fit in 127, and so does the sum: the parts' tokens are at most two u64 together.
        let total = parts.into_iter().fold(0_i128, |total, (tokens, per_million)| {
            total.saturating_add(i128::from(tokens) * i128::from(per_million.nanos()))
        });
        let rounded_up = total.saturating_add(999_999).div_euclid(1_000_000);
        Usd::from_nanos(i64::try_from(rounded_up).unwrap_or(i64::MAX))
    }
}

impl Prices {
    /// The same rates for every length.
    #[must_use]
    pub const fn flat(base: Rates) -> Self {
        Self {
            base,
            tiers: Vec::new(),
        }
    }

    /// The rates of a call whose prompt has so many tokens.
    #[must_use]
    pub fn rates(&self, input_tokens: u64) -> &Rates {
        let reached = |tier: &&Tier| input_tokens > u64::from(tier.above_input_tokens);
        self.tiers
            .iter()
            .rev()
            .find(reached)
            .map_or(&self.base, |tier| &tier.rates)
    }

    /// What a call cost.
    #[must_use]
    pub fn cost(&self, usage: &UsageCounts) -> Usd {
        self.rates(usage.input).cost(usage)
    }
}
