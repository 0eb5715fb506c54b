//! How providers are chosen, and how long they are waited for.

use super::provider::ProviderTimeouts;
use super::{Environment, ProviderConfig};

/// The router's section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingConfig {
    /// How long to wait for what.
    pub timeouts: ProviderTimeouts,
    /// The model that `auto` stands for; none to choose one by task type.
    pub auto: Option<String>,
    /// Whether a second provider is asked when the first is slow to begin.
    pub hedge: bool,
    /// Calls that may be repeated, for each 100 first calls; none for as many as runs ask for.
    pub retry_percent: Option<u32>,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            timeouts: ProviderTimeouts::default(),
            auto: None,
            hedge: false,
            retry_percent: Some(20),
        }
    }
}

impl RoutingConfig {
    /// Reads the section. Notes what is wrong.
    pub fn read(env: &mut Environment) -> Self {
        let default = Self::default();
        Self {
            timeouts: ProviderTimeouts::read(env),
            auto: env.text("MCP_DEFAULT_MODEL"),
            hedge: env.number("MCP_HEDGE", 0_u8, 0, 1) == 1,
            retry_percent: match env.text("MCP_RETRY_PERCENT").as_deref() {
                None => default.retry_percent,
                Some("off") => None,
                Some(_) => Some(env.number("MCP_RETRY_PERCENT", 0, 0, 1_000)),
            },
        }
    }

    /// With the meaning that `auto` has where one server is described by the environment: of a server that the catalog
    /// does not know no model can be picked, so it is the configured one's default.
    #[must_use]
    pub fn with_configured(mut self, provider: Option<&ProviderConfig>, known: bool) -> Self {
        if let Some(provider) = provider
            && !known
        {
            self.auto.get_or_insert_with(|| provider.default_model.clone());
        }
        self
    }
}
