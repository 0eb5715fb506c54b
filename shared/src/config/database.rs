//! Which ledger.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Environment;

/// Where the ledger is.
#[derive(Debug, Clone)]
pub enum Database {
    /// SQLite in a data folder.
    Embedded {
        /// The folder.
        folder: PathBuf,
    },
    /// Postgres.
    Postgres(PostgresConfig),
}

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `postgres://…`, with the password if there is one.
    pub url: SecretString,
    /// Connections per process.
    pub connections: u32,
    /// A statement that has not answered by then counts as unavailable.
    pub statement_timeout: Duration,
}

impl PostgresConfig {
    /// With default limits.
    #[must_use]
    pub const fn new(url: SecretString) -> Self {
        Self {
            url,
            connections: 12,
            statement_timeout: Duration::from_secs(10),
        }
    }

    /// Reads the section; none when no database URL is set. Notes what is wrong.
    pub fn read(env: &mut Environment) -> Option<Self> {
        let url = match (env.secret("DATABASE_URL"), env.secret("POSTGRES_DSN")) {
            (Some(url), Some(alias)) if url.expose_secret() != alias.expose_secret() => {
                env.problem("POSTGRES_DSN: is an alias of DATABASE_URL, and they differ: set one of them");
                Some(url)
            }
            (url, alias) => url.or(alias),
        };
        let connections = env.number("MCP_DATABASE_CONNECTIONS", 12, 2, 1_000);
        let statement_timeout = env.millis("MCP_DATABASE_TIMEOUT_MS", Duration::from_secs(10));
        let url = url?;
        let scheme_fits = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.expose_secret().starts_with(scheme));
        if !scheme_fits {
            env.problem(
                "DATABASE_URL: must begin with postgres:// (without it, `mcpctl up` keeps its own SQLite)",
            );
            return None;
        }
        Some(Self {
            url,
            connections,
            statement_timeout,
        })
    }
}
