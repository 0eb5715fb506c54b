//! The list of models that is compiled in: its figures are possible ones, and what is not known is not there.

use shared::catalog::{Catalog, Quality, Rates};
use shared::domain::Usd;

/// Dollars per million tokens above which a price is a slip of the source.
const MOST: i64 = 1_000 * 1_000_000_000;
const MOST_FOR_EMBEDDINGS: i64 = 10 * 1_000_000_000;

fn plausible(rates: &Rates, free: bool, embeds: bool) -> Result<(), String> {
    let most = if embeds { MOST_FOR_EMBEDDINGS } else { MOST };
    let within = |rate: Usd| rate.nanos() > 0 && rate.nanos() <= most;
    let zero = Usd::default();
    if !(within(rates.input) || free && rates.input == zero) {
        return Err(format!("input {:?}", rates.input));
    }
    if !(within(rates.output) || (free || embeds) && rates.output == zero) {
        return Err(format!("output {:?}", rates.output));
    }
    for part in [rates.cached_input, rates.cache_write, rates.reasoning]
        .into_iter()
        .flatten()
    {
        if !within(part) {
            return Err(format!("a part at {part:?}"));
        }
    }
    Ok(())
}

#[test]
fn prices_are_plausible_or_absent() {
    let catalog = Catalog::built_in();
    let mut priced = 0;
    for model in catalog.models() {
        let Some(prices) = &model.prices else { continue };
        priced += 1;
        let free = model.name.ends_with(":free");
        for rates in prices.tiers.iter().map(|tier| &tier.rates).chain([&prices.base]) {
            if let Err(reason) = plausible(rates, free, model.capabilities.embeddings) {
                panic!("{}: {reason}", model.id());
            }
        }
        let starts: Vec<u32> = prices.tiers.iter().map(|tier| tier.above_input_tokens).collect();
        assert!(
            starts.is_sorted() && !starts.contains(&0),
            "{}: {starts:?}",
            model.id()
        );
    }
    assert!(priced > 1_000, "{priced}");
    assert!(priced < catalog.models().len(), "what is not known is not there");
}

#[test]
fn every_model_belongs_to_a_provider_and_can_do_something() {
    let catalog = Catalog::built_in();
    for model in catalog.models() {
        assert!(catalog.provider(&model.provider).is_some(), "{}", model.id());
        assert!(
            model.capabilities.chat != model.capabilities.embeddings,
            "{}",
            model.id()
        );
        assert!(
            model.context_window != Some(0) && model.max_output != Some(0),
            "{}",
            model.id()
        );
        assert!(model.origin.date.is_some(), "{}", model.id());
        assert!(
            model.aliases.iter().all(|alias| **alias == alias.to_lowercase()),
            "{}",
            model.id()
        );
    }
    let ids: std::collections::BTreeSet<String> = catalog.models().iter().map(|model| model.id()).collect();
    assert_eq!(ids.len(), catalog.models().len());
    assert!(
        catalog
            .models()
            .is_sorted_by_key(|model| (model.provider.clone(), model.name.clone()))
    );
}

/// Prices that their vendors publish, so that a slip in the derivation shows: units, cache rates, tiers.
#[test]
fn known_prices_come_out_as_they_are_published() {
    let catalog = Catalog::built_in();
    let dollars = |id: &str| {
        let model = catalog.candidates(id).next().unwrap();
        let prices = model.prices.clone().unwrap();
        let base = prices.base;
        let tier = prices
            .tiers
            .first()
            .map(|tier| (tier.above_input_tokens, tier.rates.input.dollars()));
        let cached = base.cached_input.map(Usd::dollars);
        (base.input.dollars(), base.output.dollars(), cached, tier)
    };
    assert_eq!(dollars("openai/gpt-4o"), (2.5, 10.0, Some(1.25), None));
    assert_eq!(dollars("openai/gpt-4o-mini"), (0.15, 0.6, Some(0.075), None));
    assert_eq!(
        dollars("anthropic/claude-sonnet-4-5"),
        (3.0, 15.0, Some(0.3), None)
    );
    assert_eq!(
        dollars("gemini/gemini-2.5-pro"),
        (1.25, 10.0, Some(0.125), Some((200_000, 2.5)))
    );
    let write = catalog
        .candidates("anthropic/claude-sonnet-4-5")
        .next()
        .unwrap()
        .prices
        .clone();
    assert_eq!(write.unwrap().base.cache_write.map(Usd::dollars), Some(3.75));
}

#[test]
fn abilities_and_quality_are_told_apart() {
    let catalog = Catalog::built_in();
    let model = |id: &str| catalog.candidates(id).next().cloned().unwrap();
    let gpt_4o = model("openai/gpt-4o");
    assert!(gpt_4o.capabilities.tools && gpt_4o.capabilities.vision && gpt_4o.capabilities.json_schema);
    assert!(!gpt_4o.capabilities.reasoning);
    assert!(gpt_4o.quality > model("openai/gpt-4o-mini").quality);
    assert_eq!(model("anthropic/claude-sonnet-4-5").quality, Some(Quality::MOST));
    assert!(model("openai/text-embedding-3-small").capabilities.embeddings);
    assert_eq!(model("openai/text-embedding-3-small").quality, None);
    let codestral = model("mistral/codestral-latest");
    assert_eq!(codestral.task_types, ["code"]);
}

/// A name that several providers share is that of one kind of model, and says which.
#[test]
fn shared_names_are_names() {
    const NOTHING: [&str; 7] = ["auto", "beam", "embed", "r1", "v3", "v3.1", "v3.2"];
    let catalog = Catalog::built_in();
    for model in catalog.models() {
        for alias in &model.aliases {
            assert!(!NOTHING.contains(&&**alias), "{}: {alias}", model.id());
            let kinds = catalog
                .candidates(alias)
                .filter(|other| other.capabilities.embeddings)
                .count();
            assert!(kinds == 0 || kinds == catalog.candidates(alias).len(), "{alias}");
        }
    }
}

#[test]
fn an_open_model_is_found_at_all_who_offer_it() {
    let catalog = Catalog::built_in();
    let mut who: Vec<&str> = catalog
        .candidates("llama-3.3-70b-instruct")
        .map(|model| &*model.provider)
        .collect();
    who.dedup();
    for provider in ["deepinfra", "fireworks", "nebius", "ovhcloud"] {
        assert!(who.contains(&provider), "{provider} is not among {who:?}");
    }
    let bedrock: Vec<&str> = catalog
        .candidates("claude-sonnet-5")
        .filter(|model| &*model.provider == "bedrock")
        .map(|model| &*model.name)
        .collect();
    assert_eq!(bedrock, ["global.anthropic.claude-sonnet-5"]);
}
