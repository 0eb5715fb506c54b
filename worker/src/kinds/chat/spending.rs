//! What a call took and cost: the provider's report read into counts, and the counts into money by the prices in force
//! when the call began. What is not known stays unknown, and says why.

use serde_json::Value;
use shared::catalog::{Prices, UsageCounts};
use shared::domain::{CallTokens, CostUnknown, Usd};

use crate::providers::Usage;

/// More than any call has; a provider that reports more has counted wrong, and the ledger's columns have an end.
const MOST_TOKENS: u64 = 1 << 53;

/// The counts of a report.
pub(super) fn tokens(usage: Option<&Usage>) -> CallTokens {
    let Some(usage) = usage else {
        return CallTokens::default();
    };
    let at = |path: &str| {
        let count = usage.raw.pointer(path).and_then(Value::as_u64);
        count.map(|count| count.min(MOST_TOKENS))
    };
    let first = |paths: &[&str]| paths.iter().find_map(|path| at(path));
    CallTokens {
        input: Some(usage.input_tokens.min(MOST_TOKENS)),
        output: Some(usage.output_tokens.min(MOST_TOKENS)),
        cached_input: first(&[
            "/prompt_tokens_details/cached_tokens",
            "/input_tokens_details/cached_tokens",
        ]),
        // OpenRouter's name, Anthropic's, and Bedrock's: OpenAI has none.
        cache_write: first(&[
            "/prompt_tokens_details/cache_write_tokens",
            "/cache_creation_input_tokens",
            "/cacheWriteInputTokens",
        ]),
        reasoning: first(&[
            "/completion_tokens_details/reasoning_tokens",
            "/output_tokens_details/reasoning_tokens",
        ]),
    }
}

/// What these counts cost.
pub(super) fn cost(tokens: &CallTokens, prices: Option<&Prices>) -> Result<Usd, CostUnknown> {
    let prices = prices.ok_or(CostUnknown::NoPrice)?;
    let (Some(input), Some(output)) = (tokens.input, tokens.output) else {
        return Err(CostUnknown::NoUsage);
    };
    Ok(prices.cost(&UsageCounts {
        input,
        output,
        cached_input: tokens.cached_input.unwrap_or(0),
        cache_write: tokens.cache_write.unwrap_or(0),
        reasoning: tokens.reasoning.unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::catalog::Rates;

    use super::*;

    fn usage(raw: Value) -> Usage {
        Usage {
            input_tokens: 1_000,
            output_tokens: 100,
            raw,
        }
    }

    #[test]
    fn parts_are_read_by_every_name_they_have() {
        let openai = usage(json!({"prompt_tokens_details": {"cached_tokens": 600},
            "completion_tokens_details": {"reasoning_tokens": 40}}));
        let expected = CallTokens {
            input: Some(1_000),
            output: Some(100),
            cached_input: Some(600),
            cache_write: None,
            reasoning: Some(40),
        };
        assert_eq!(tokens(Some(&openai)), expected);
        let anthropic = usage(json!({"cache_creation_input_tokens": 7}));
        assert_eq!(tokens(Some(&anthropic)).cache_write, Some(7));
        assert_eq!(tokens(None), CallTokens::default());
    }

    #[test]
    fn a_cost_is_known_only_with_a_price_and_a_report() {
        let dollars = |amount| Usd::from_dollars(amount).unwrap();
        let mut rates = Rates::plain(dollars(1.0), dollars(10.0));
        rates.cached_input = Some(dollars(0.5));
        let prices = Prices::flat(rates);
        let counted = tokens(Some(&usage(
            json!({"prompt_tokens_details": {"cached_tokens": 600}}),
        )));
        // 400 · 1 µ$ + 600 · 0.5 µ$ + 100 · 10 µ$
        assert_eq!(cost(&counted, Some(&prices)), Ok(Usd::from_nanos(1_700_000)));
        assert_eq!(cost(&counted, None), Err(CostUnknown::NoPrice));
        assert_eq!(
            cost(&CallTokens::default(), Some(&prices)),
            Err(CostUnknown::NoUsage)
        );
        assert_eq!(cost(&CallTokens::default(), None), Err(CostUnknown::NoPrice));
    }
}
