//! Which provider and model answers a run.

use shared::config::{ProviderConfig, ProviderTimeouts};
use shared::domain::chat::{AUTO_MODEL, ChatSpec};
use shared::domain::{Price, RouteSelected};

use crate::providers::openai::OpenAiProvider;
use crate::providers::{ProviderSettings, SettingsError, Timeouts};

/// Knows the providers. One for now.
pub(crate) struct Router {
    provider: OpenAiProvider,
    default_model: String,
    price: Option<Price>,
}

/// The choice for one attempt.
pub(crate) struct Route<'a> {
    /// Who is called.
    pub(crate) provider: &'a OpenAiProvider,
    /// The provider's name of the model.
    pub(crate) model: &'a str,
    /// What it charges.
    pub(crate) price: Option<Price>,
    why: &'static str,
}

impl Router {
    /// A router over the configured provider.
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, SettingsError> {
        let ProviderTimeouts {
            connect,
            first_token,
            between_tokens,
            total,
        } = config.timeouts;
        let provider = OpenAiProvider::new(ProviderSettings {
            name: config.name.clone(),
            base_url: config.base_url.clone(),
            api_key: config.api_key.clone(),
            api_key_env: Some("OPENAI_API_KEY".to_owned()),
            timeouts: Timeouts {
                connect,
                first_token,
                between_tokens,
                total,
            },
            simulated: config.simulated,
        })?;
        Ok(Self {
            provider,
            default_model: config.default_model.clone(),
            price: config.price,
        })
    }

    /// Chooses for a run.
    pub(crate) fn route<'a>(&'a self, spec: &'a ChatSpec) -> Route<'a> {
        let (model, why) = if spec.model == AUTO_MODEL {
            (
                self.default_model.as_str(),
                "the default model of the only provider",
            )
        } else {
            (spec.model.as_str(), "the model asked for, at the only provider")
        };
        Route {
            provider: &self.provider,
            model,
            price: self.price,
            why,
        }
    }
}

impl Route<'_> {
    /// The choice as the log says it.
    pub(crate) fn event(&self) -> RouteSelected {
        RouteSelected {
            provider: self.provider.name().to_owned(),
            model: self.model.to_owned(),
            why: self.why.to_owned(),
        }
    }
}
