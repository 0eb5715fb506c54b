//! The forms in which the data stands in files: the list of providers and the user's file (TOML), the list of models
//! (JSON). Every field that may be left out is optional here, so that a later file can say only what it changes.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::model::Capability;
use super::{
    Auth, Credentials, Dialect, ErrorShape, Limits, MaxTokensField, Prices, Quality, Rates, StreamUsage, Tier,
};
use crate::domain::Usd;

/// A file of providers, models and names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) providers: BTreeMap<Spanned<String>, WrittenProvider>,
    pub(super) models: Vec<Spanned<WrittenModel>>,
    pub(super) aliases: BTreeMap<Spanned<String>, WrittenSplit>,
    pub(super) chains: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

/// What a file says of a provider.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenProvider {
    pub(super) title: Option<String>,
    pub(super) base_url: Option<Spanned<String>>,
    pub(super) base_url_env: Option<Spanned<String>>,
    pub(super) dialect: Option<Dialect>,
    pub(super) auth: Option<Spanned<Auth>>,
    pub(super) key_env: Option<Vec<Spanned<String>>>,
    pub(super) credentials: Option<Spanned<Credentials>>,
    pub(super) limits: Option<Spanned<Limits>>,
    pub(super) local: Option<bool>,
    pub(super) enabled: Option<bool>,
    pub(super) unlisted_models: Option<bool>,
    pub(super) by_id_only: Option<bool>,
    pub(super) default_prices: Option<Spanned<WrittenPrices>>,
    pub(super) quirks: WrittenQuirks,
    pub(super) source: Option<String>,
    pub(super) verified: Option<String>,
    pub(super) unverified: Option<String>,
}

/// What a file says of how a provider differs from its dialect.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenQuirks {
    pub(super) dropped_params: Option<Vec<String>>,
    pub(super) max_tokens_field: Option<MaxTokensField>,
    pub(super) stream_options: Option<bool>,
    pub(super) stream_usage: Option<StreamUsage>,
    pub(super) error_shape: Option<ErrorShape>,
    pub(super) chat_path: Option<Spanned<String>>,
    pub(super) call_ids: Option<bool>,
    pub(super) headers: Option<BTreeMap<Spanned<String>, String>>,
}

/// What a file says of a model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenModel {
    pub(super) provider: Spanned<String>,
    pub(super) name: String,
    pub(super) aliases: Option<Vec<String>>,
    pub(super) context_window: Option<u32>,
    pub(super) max_output: Option<u32>,
    pub(super) prices: Option<Spanned<WrittenPrices>>,
    pub(super) capabilities: Option<Vec<Capability>>,
    pub(super) quality: Option<Quality>,
    pub(super) task_types: Option<Vec<String>>,
}

/// Prices in US dollars per million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPrices {
    input: Usd,
    output: Usd,
    cached_input: Option<Usd>,
    cache_write: Option<Usd>,
    reasoning: Option<Usd>,
    #[serde(default)]
    tiers: Vec<WrittenTier>,
}

/// Prices for long prompts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTier {
    above_input_tokens: u32,
    input: Usd,
    output: Usd,
    cached_input: Option<Usd>,
    cache_write: Option<Usd>,
    reasoning: Option<Usd>,
}

impl WrittenPrices {
    /// The prices, or why they are none.
    pub(super) fn prices(&self) -> Result<Prices, &'static str> {
        let tiers: Vec<Tier> = self.tiers.iter().map(WrittenTier::tier).collect();
        if !tiers.is_sorted_by(|a, b| a.above_input_tokens < b.above_input_tokens) {
            return Err("tiers: above_input_tokens must go up from tier to tier");
        }
        Ok(Prices {
            base: Rates {
                input: self.input,
                output: self.output,
                cached_input: self.cached_input,
                cache_write: self.cache_write,
                reasoning: self.reasoning,
            },
            tiers,
        })
    }
}

impl WrittenTier {
    fn tier(&self) -> Tier {
        Tier {
            above_input_tokens: self.above_input_tokens,
            rates: Rates {
                input: self.input,
                output: self.output,
                cached_input: self.cached_input,
                cache_write: self.cache_write,
                reasoning: self.reasoning,
            },
        }
    }
}

/// A name that is split over several models.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSplit {
    pub(super) targets: Vec<WrittenTarget>,
}

/// One share of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenTarget {
    pub(super) model: Spanned<String>,
    pub(super) weight: Option<Spanned<u32>>,
}

/// The list of models that is compiled in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelList {
    pub(super) origin: ListOrigin,
    pub(super) sources: Vec<String>,
    pub(super) models: Vec<ListedModel>,
}

/// Where the list comes from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListOrigin {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) date: String,
    /// For whom reads the file: which file of the release, where it is, under which licence.
    #[serde(rename = "file")]
    pub(super) _file: String,
    #[serde(rename = "url")]
    pub(super) _url: String,
    #[serde(rename = "licence")]
    pub(super) _licence: String,
}

/// One model of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListedModel {
    pub(super) provider: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    pub(super) context_window: Option<u32>,
    pub(super) max_output: Option<u32>,
    pub(super) prices: Option<WrittenPrices>,
    pub(super) capabilities: Vec<Capability>,
    pub(super) quality: Option<Quality>,
    #[serde(default)]
    pub(super) task_types: Vec<String>,
    /// Position in the list of sources.
    pub(super) source: Option<usize>,
}
