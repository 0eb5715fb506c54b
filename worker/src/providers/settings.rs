//! What a provider client is built from. Values only: reading them from the environment is the configuration's work.

use std::time::Duration;

use secrecy::SecretString;
use shared::catalog::{Auth, Dialect, LiveCredentials, Quirks};

/// Where a provider is, how we prove who we are, and how long we wait for it.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// The name in events, metrics and messages: `openai`, `groq`, ...
    pub name: String,
    /// The protocol it speaks.
    pub dialect: Dialect,
    /// Where the API begins, with its version: `https://api.openai.com/v1`. No query, no user or password.
    pub base_url: String,
    /// Sent with every request as a query: `api-version=2024-10-21`.
    pub query: Vec<(String, String)>,
    /// How a key is sent.
    pub auth: Auth,
    /// The keys, which take turns. Without one, nothing is sent.
    pub api_keys: Vec<SecretString>,
    /// What stands in for a key.
    pub credentials: Option<LiveCredentials>,
    /// The variable the keys are read from, or the first of the credentials', for the message that tells a person where to look.
    pub api_key_env: Option<String>,
    /// How it departs from its dialect, and the headers that go out with every request.
    pub quirks: Quirks,
    /// How long each phase of a call may take.
    pub timeouts: Timeouts,
    /// Whether answers come from the simulator and must be labelled so.
    pub simulated: bool,
}

/// How long each phase of a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup, TCP and TLS together.
    pub connect: Duration,
    /// From sending the request to the first visible output. A role alone is not output. Calls that do not stream
    /// have no first token: only `total` bounds them.
    pub first_token: Duration,
    /// Between one event of a stream and the next. Keep-alive comments are no events.
    pub between_tokens: Duration,
    /// The whole call, from sending the request.
    pub total: Duration,
}

impl Default for Timeouts {
    /// The total is what OpenAI's own SDK waits; streams that are silent for a minute are cut by load balancers anyway.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_token: Duration::from_secs(120),
            between_tokens: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// Why no client can be built from settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The base URL is not one we can call.
    #[error("provider {provider}: the base URL {problem}")]
    BaseUrl {
        /// The provider's name.
        provider: String,
        /// What is wrong with it. Never the URL itself: it may hold a password.
        problem: String,
    },
    /// The key cannot be sent in a header.
    #[error("provider {provider}: the API key{} holds characters that no HTTP header may hold", from_env(.env.as_deref()))]
    ApiKey {
        /// The provider's name.
        provider: String,
        /// Where the key was read.
        env: Option<String>,
    },
    /// A fixed header, or the one for the key, is not one.
    #[error("provider {provider}: {header:?} is no header that can be sent, or its value is none")]
    Header {
        /// The provider's name.
        provider: String,
        /// The header's name. Never its value.
        header: String,
    },
    /// TLS or the HTTP client cannot be set up.
    #[error(
        "provider {provider}: cannot set up HTTPS (are the system's CA certificates installed?): {source}"
    )]
    Http {
        /// The provider's name.
        provider: String,
        /// What the HTTP client says.
        source: reqwest::Error,
    },
}

fn from_env(env: Option<&str>) -> String {
    env.map(|env| format!(" in {env}")).unwrap_or_default()
}
