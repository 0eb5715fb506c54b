//! Where the fast path is.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Environment;

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…`, with the password if there is one.
    pub url: SecretString,
    /// Begins every key and channel, so that installations can share a server.
    pub prefix: String,
    /// A command that has not answered by then means that Redis is away.
    pub timeout: Duration,
}

impl RedisConfig {
    const PREFIX: &'static str = "mcp";
    const TIMEOUT: Duration = Duration::from_millis(500);

    /// With the default prefix and timeout.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            prefix: Self::PREFIX.to_owned(),
            timeout: Self::TIMEOUT,
        }
    }

    /// Reads the section; none when no Redis is named. Notes what is wrong.
    pub fn read(env: &mut Environment) -> Option<Self> {
        let host = env.text("REDIS_HOST");
        let port: Option<u16> = env.parsed("REDIS_PORT");
        let prefix = env
            .text("MCP_REDIS_PREFIX")
            .unwrap_or_else(|| Self::PREFIX.to_owned());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let prefix_fits = prefix.len() <= 64 && prefix.chars().all(plain);
        if !prefix_fits {
            // Braces would choose the hash slot of every key.
            env.problem("MCP_REDIS_PREFIX: at most 64 letters, digits and - _ . :");
        }
        let timeout = env.millis("MCP_REDIS_TIMEOUT_MS", Self::TIMEOUT);
        let url = match (env.secret("REDIS_URL"), host) {
            (Some(_), Some(_)) => {
                env.problem("REDIS_HOST: is another way to say REDIS_URL: set one of them");
                None
            }
            (None, None) => {
                if port.is_some() {
                    env.problem("REDIS_PORT: means nothing without REDIS_HOST");
                }
                None
            }
            (None, Some(host)) => Some(SecretString::from(format!(
                "redis://{host}:{}",
                port.unwrap_or(6379)
            ))),
            (url, None) => url,
        }?;
        let scheme_fits = ["redis://", "rediss://"]
            .iter()
            .any(|scheme| url.expose_secret().starts_with(scheme));
        if !scheme_fits {
            env.problem("REDIS_URL: must begin with redis:// or rediss:// (TLS)");
            return None;
        }
        prefix_fits.then_some(Self { url, prefix, timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> (Option<RedisConfig>, Result<(), super::super::ConfigError>) {
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Environment::from_values(values);
        let config = RedisConfig::read(&mut env);
        (config, env.finish())
    }

    #[test]
    fn host_and_port_are_another_way_to_say_the_url() {
        let (config, finished) = read(&[("REDIS_HOST", "cache"), ("REDIS_PORT", "6380")]);
        finished.unwrap();
        assert_eq!(config.unwrap().url.expose_secret(), "redis://cache:6380");
        let (config, finished) = read(&[("REDIS_HOST", "cache")]);
        finished.unwrap();
        assert_eq!(config.unwrap().url.expose_secret(), "redis://cache:6379");
        assert!(read(&[]).0.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_named_without_the_password() {
        for values in [
            [("REDIS_URL", "redis://:hunter2@a"), ("REDIS_HOST", "b")],
            [("REDIS_URL", "http://:hunter2@a"), ("MCP_REDIS_PREFIX", "mcp")],
            [("REDIS_URL", "redis://:hunter2@a"), ("MCP_REDIS_PREFIX", "{x}")],
            [("REDIS_PORT", "6379"), ("MCP_REDIS_PREFIX", "mcp")],
            [("REDIS_TIMEOUT", ""), ("MCP_REDIS_PREFIX", "{x}")],
        ] {
            let (config, finished) = read(&values);
            assert!(config.is_none(), "{values:?}");
            let error = finished.unwrap_err().to_string();
            assert!(error.contains("REDIS_") && !error.contains("hunter2"), "{error}");
        }
    }
}
