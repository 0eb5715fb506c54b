//! The one provider that the environment can describe by itself (`OPENAI_API_KEY`, `OPENAI_BASE_URL`,
//! `MCP_PROVIDER_NAME`, `MCP_PRICE_*`, `MCP_SIMULATOR_URL`), as a provider of the catalog.

use std::sync::Arc;

use super::merge::Merge;
use super::{Auth, Catalog, Dialect, Limits, LiveWhen, Prices, Provider, Quirks, Rates};
use crate::config::ProviderConfig;

/// The catalog's own name of the provider whose variables these are.
const OPENAI: &str = "openai";
const KEY: &str = "OPENAI_API_KEY";

impl Catalog {
    /// This catalog with the provider that the environment describes. Any model may be asked of it, as always.
    ///
    /// At OpenAI's own address it is OpenAI, with the catalog's models and prices. At another address it is another
    /// server, whatever its name: nothing is known of its models, and the key goes there and not to OpenAI.
    #[must_use]
    pub fn with_configured(&self, config: &ProviderConfig) -> Self {
        let mut merge = Merge::onto(self);
        let known = self.provider(OPENAI);
        let is_openai = !config.simulated
            && known.is_some_and(|known| known.base_url == config.base_url.trim_end_matches('/'));
        let prices = config
            .price
            .map(|price| Prices::flat(Rates::plain(price.input_per_million, price.output_per_million)));
        let mut provider = match known {
            Some(known) if is_openai => Provider::clone(known),
            _ => another_server(config),
        };
        let renamed = *provider.name != *config.name;
        provider.name = config.name.as_str().into();
        provider.unlisted_models = true;
        provider.default_prices.clone_from(&prices);
        if config.name != OPENAI
            && !config.simulated
            && let Some(openai) = merge.provider_mut(OPENAI)
        {
            openai.live_when = LiveWhen::Never;
        }
        if !is_openai {
            merge.forget_models(&config.name);
        } else if renamed {
            merge.copy_models(OPENAI, &provider.name);
        }
        if let Some(prices) = prices {
            for model in merge.models_mut(&config.name) {
                model.prices = Some(prices.clone());
                model.origin.source =
                    Arc::from("MCP_PRICE_INPUT_USD_PER_MILLION, MCP_PRICE_OUTPUT_USD_PER_MILLION");
                model.origin.date = None;
            }
        }
        merge.put_provider(provider);
        merge.finish()
    }
}

fn another_server(config: &ProviderConfig) -> Provider {
    let keyed = config.api_key.is_some();
    Provider {
        name: config.name.as_str().into(),
        title: config.name.clone(),
        base_url: config.base_url.trim_end_matches('/').to_owned(),
        base_url_env: None,
        dialect: Dialect::OpenAi,
        auth: if keyed { Auth::Bearer } else { Auth::None },
        key_env: if keyed { vec![KEY.to_owned()] } else { Vec::new() },
        credentials: None,
        limits: Limits::default(),
        local: false,
        live_when: if keyed { LiveWhen::Key } else { LiveWhen::Always },
        simulated: config.simulated,
        unlisted_models: true,
        by_id_only: false,
        default_prices: None,
        quirks: Quirks::default(),
        source: "the environment".to_owned(),
        verified: None,
        unverified: None,
    }
}
