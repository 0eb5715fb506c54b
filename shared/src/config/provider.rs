//! The model provider.

use std::time::Duration;

use secrecy::SecretString;

use super::Environment;
use crate::domain::{Price, Usd};

/// One OpenAI-compatible endpoint.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name in events, hints and metrics.
    pub name: String,
    /// Up to and including the version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Its key; local servers need none.
    pub api_key: Option<SecretString>,
    /// What `auto` means.
    pub default_model: String,
    /// What it charges; none when not told.
    pub price: Option<Price>,
    /// Whether it is the simulator: said on every run, event and result.
    pub simulated: bool,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderTimeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From the call to the first token.
    pub first_token: Duration,
    /// Between two tokens.
    pub between_tokens: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Default for ProviderTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(120),
            between_tokens: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}

impl ProviderTimeouts {
    /// Reads them. Notes what is wrong.
    pub(super) fn read(env: &mut Environment) -> Self {
        let default = Self::default();
        Self {
            connect: env.millis("MCP_CONNECT_TIMEOUT_MS", default.connect),
            first_token: env.millis("MCP_FIRST_TOKEN_TIMEOUT_MS", default.first_token),
            between_tokens: env.millis("MCP_BETWEEN_TOKENS_TIMEOUT_MS", default.between_tokens),
            total: env.millis("MCP_TOTAL_TIMEOUT_MS", default.total),
        }
    }
}

impl ProviderConfig {
    /// The simulator at this address.
    #[must_use]
    pub fn simulator(base_url: String) -> Self {
        Self {
            name: "simulator".to_owned(),
            base_url,
            api_key: None,
            default_model: "sim".to_owned(),
            price: None,
            simulated: true,
        }
    }

    /// Reads the section; none when no provider is named. Notes what is wrong.
    pub fn read(env: &mut Environment) -> Option<Self> {
        let api_key = env.secret("OPENAI_API_KEY");
        let base_url = env.text("OPENAI_BASE_URL");
        let simulator_url = env.text("MCP_SIMULATOR_URL");
        let name = env.text("MCP_PROVIDER_NAME");
        let default_model = env.text("MCP_DEFAULT_MODEL");
        let price = read_price(env);
        for (variable, url) in [
            ("OPENAI_BASE_URL", &base_url),
            ("MCP_SIMULATOR_URL", &simulator_url),
        ] {
            if let Some(url) = url
                && !url::Url::parse(url)
                    .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            {
                env.problem(format!(
                    "{variable}: must be a URL such as https://api.openai.com/v1"
                ));
            }
        }
        if let Some(url) = simulator_url {
            if api_key.is_some() || base_url.is_some() {
                env.problem(
                    "MCP_SIMULATOR_URL: the simulator never stands beside a real provider: unset one of them",
                );
            }
            let simulator = Self::simulator(url);
            let default_model = default_model.unwrap_or_else(|| simulator.default_model.clone());
            return Some(Self {
                default_model,
                ..simulator
            });
        }
        if api_key.is_none() && base_url.is_none() {
            return None;
        }
        Some(Self {
            name: name.unwrap_or_else(|| "openai".to_owned()),
            base_url: base_url
                .unwrap_or_else(|| "https://api.openai.com/v1".to_owned())
                .trim_end_matches('/')
                .to_owned(),
            api_key,
            default_model: default_model.unwrap_or_else(|| "gpt-4o-mini".to_owned()),
            price,
            simulated: false,
        })
    }
}

fn read_price(env: &mut Environment) -> Option<Price> {
    let mut read = |name: &'static str| {
        let dollars: Option<f64> = env.parsed(name);
        let amount = dollars.and_then(Usd::from_dollars);
        if dollars.is_some() && amount.is_none() {
            env.problem(format!(
                "{name}: must be an amount in US dollars per million tokens"
            ));
        }
        amount
    };
    let input = read("MCP_PRICE_INPUT_USD_PER_MILLION");
    let output = read("MCP_PRICE_OUTPUT_USD_PER_MILLION");
    match (input, output) {
        (Some(input_per_million), Some(output_per_million)) => Some(Price {
            input_per_million,
            output_per_million,
        }),
        (None, None) => None,
        _ => {
            env.problem(
                "MCP_PRICE_INPUT_USD_PER_MILLION and MCP_PRICE_OUTPUT_USD_PER_MILLION: set both or none",
            );
            None
        }
    }
}
