//! What the API needs to know.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Environment;
use crate::domain::TenantId;

/// The API's section.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Who may come in; empty on a loopback address means everybody is the tenant `local`.
    pub keys: Vec<ApiKey>,
    /// Keys the hashes of user ids and request bodies.
    pub hash_key: HashKey,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// How much may be queued.
    pub depth: DepthLimits,
    /// How much this process takes on at a time.
    pub pressure: PressureLimits,
}

impl ApiConfig {
    /// Reads the section. `hash_key` is what is used when `MCP_HASH_KEY` is not set.
    pub fn read(env: &mut Environment, hash_key: Option<HashKey>) -> Option<Self> {
        let keys = match env.text("MCP_API_KEYS") {
            None => Vec::new(),
            Some(list) => list
                .split(',')
                .enumerate()
                .filter_map(|(index, key)| match key.trim().parse() {
                    Ok(key) => Some(key),
                    Err(error) => {
                        // By position: the text may hold the key itself.
                        env.problem(format!("MCP_API_KEYS: entry {}: {error}", index + 1));
                        None
                    }
                })
                .collect(),
        };
        let configured: Option<HashKey> = env.parsed("MCP_HASH_KEY");
        let hash_key = configured.or(hash_key);
        if hash_key.is_none() {
            env.problem(
                "MCP_HASH_KEY: is required with Postgres, the same on every API: at least 32 characters, \
                 such as `openssl rand -hex 32` prints",
            );
        }
        let max_body_bytes = env.number("MCP_MAX_BODY_BYTES", 10 * 1024 * 1024, 1_024, 1024 * 1024 * 1024);
        let depth = DepthLimits {
            per_tenant: env.number("MCP_MAX_QUEUED_PER_TENANT", 100_000, 1, 100_000_000),
            in_all: env.number("MCP_MAX_QUEUED", 1_000_000, 1, 1_000_000_000),
        };
        let per_second = env.number("MCP_MAX_REQUESTS_PER_SECOND", 0, 0, 1_000_000);
        let default = PressureLimits::default();
        let pressure = PressureLimits {
            per_second: NonZeroU32::new(per_second),
            in_flight: env.number("MCP_MAX_REQUESTS_IN_FLIGHT", default.in_flight, 1, 1_000_000),
        };
        Some(Self {
            keys,
            hash_key: hash_key?,
            max_body_bytes,
            depth,
            pressure,
        })
    }
}

impl ApiConfig {
    /// Names the section's settings, so that a process which does not serve the API does not take them for typing
    /// errors when one environment serves a whole installation.
    pub fn acknowledge(env: &mut Environment) {
        for name in [
            "MCP_API_KEYS",
            "MCP_HASH_KEY",
            "MCP_MAX_BODY_BYTES",
            "MCP_MAX_QUEUED_PER_TENANT",
            "MCP_MAX_QUEUED",
            "MCP_MAX_REQUESTS_PER_SECOND",
            "MCP_MAX_REQUESTS_IN_FLIGHT",
        ] {
            let _ = env.text(name);
        }
    }
}

/// How many runs may be queued before submits are answered 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthLimits {
    /// Of one tenant.
    pub per_tenant: u64,
    /// Of all.
    pub in_all: u64,
}

/// How much one API process takes on before it refuses without looking further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressureLimits {
    /// Requests per second, with a burst of as many; none means no limit.
    pub per_second: Option<NonZeroU32>,
    /// Requests that have not been answered yet. One whose answer streams counts until it begins.
    pub in_flight: u32,
}

impl Default for PressureLimits {
    fn default() -> Self {
        Self {
            per_second: None,
            in_flight: 8_192,
        }
    }
}

/// A static API key: `tenant:key` or `tenant:key:admin`. Only a digest of the key is kept.
#[derive(Clone)]
pub struct ApiKey {
    /// Who comes in with it.
    pub tenant: TenantId,
    /// Whether it opens the admin endpoints and every tenant's runs.
    pub admin: bool,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
}

impl ApiKey {
    /// The digest a presented key is compared by.
    #[must_use]
    pub fn digest_of(key: &str) -> [u8; 32] {
        Sha256::digest(key.as_bytes()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("tenant", &self.tenant)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl FromStr for ApiKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(':').collect();
        let (tenant, key, admin) = match parts[..] {
            [tenant, key] => (tenant, key, false),
            [tenant, key, "admin"] => (tenant, key, true),
            _ => return Err("expected `tenant:key` or `tenant:key:admin`".to_owned()),
        };
        let tenant = tenant.parse().map_err(|error| format!("{error}"))?;
        if key.len() < 16 || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the key must be at least 16 printable characters without spaces".to_owned());
        }
        Ok(Self {
            tenant,
            admin,
            digest: Self::digest_of(key),
        })
    }
}

/// Keys the hashes of user ids and request bodies. At least 32 characters.
#[derive(Debug, Clone)]
pub struct HashKey(SecretString);

impl HashKey {
    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl FromStr for HashKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.len() < 32 {
            return Err("must be at least 32 characters, such as `openssl rand -hex 32` prints");
        }
        Ok(Self(text.to_owned().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> (Option<ApiConfig>, String) {
        let owned = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Environment::from_values(owned);
        let config = ApiConfig::read(&mut env, None);
        (
            config,
            env.finish()
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default(),
        )
    }

    #[test]
    fn keys_are_parsed_and_never_shown() {
        let hash_key = "0123456789abcdef0123456789abcdef";
        let keys = "acme:sk-0123456789abcdef,ops:sk-fedcba9876543210:admin";
        let (config, problems) = read(&[("MCP_API_KEYS", keys), ("MCP_HASH_KEY", hash_key)]);
        let config = config.unwrap();
        assert_eq!(problems, "");
        assert_eq!(
            (config.keys[0].tenant.as_str(), config.keys[0].admin),
            ("acme", false)
        );
        assert!(config.keys[1].admin);
        let shown = format!("{config:?}");
        assert!(!shown.contains("sk-") && !shown.contains(hash_key), "{shown}");
    }

    #[test]
    fn bad_keys_are_named_by_position() {
        let (_, problems) = read(&[("MCP_API_KEYS", "acme:short,sk-0123456789abcdef")]);
        assert!(
            problems.contains("entry 1") && problems.contains("entry 2") && problems.contains("MCP_HASH_KEY")
        );
        assert!(!problems.contains("sk-0123"), "{problems}");
    }
}
