//! The ledger on Postgres 14 or later. Hot writes are one statement each, with arrays and `UNNEST`, so that they are one
//! round trip and one commit.
//!
//! Locks, always in this order: the worker's row, then runs. A worker's own writes take its row `FOR KEY SHARE`, which a
//! renewal does not disturb; the reaper takes it `FOR UPDATE`, which waits for the writes under way and makes all later
//! ones see a dead worker. `FOR KEY SHARE` and not `FOR SHARE`: a renewal updates no key column, so the two do not wait
//! for each other.

mod backlog;
mod execute;
mod log;
mod partitions;
#[cfg(test)]
mod plans;
mod submit;
mod upkeep;

use std::future::Future;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::{Connection as _, PgConnection, PgPool};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::LedgerError;
use crate::config::PostgresConfig;

/// How long to wait for a connection. The pool knocks again and again in that time when the server refuses: callers
/// should hear soon that it is away, and do their own waiting.
const ACQUIRE: Duration = Duration::from_secs(2);

/// How long a connection that comes back to the pool may take to answer.
const RELEASE: Duration = Duration::from_secs(2);

/// The Postgres backend.
pub(super) struct Postgres {
    pool: PgPool,
    timeout: Duration,
}

impl Postgres {
    /// Connects once, to see that the server is there; other connections are made when needed.
    pub(super) async fn connect(config: &PostgresConfig) -> Result<Self, LedgerError> {
        let options: PgConnectOptions =
            config.url.expose_secret().parse().map_err(|error: sqlx::Error| {
                // The parser's messages do not repeat the URL, which may hold a password.
                LedgerError::Refused(format!("DATABASE_URL cannot be read: {error}"))
            })?;
        let options = options.application_name("mcpctl").statement_cache_capacity(200);
        let pool = PgPoolOptions::new()
            .max_connections(config.connections)
            .acquire_timeout(config.statement_timeout.min(ACQUIRE))
            .test_before_acquire(false)
            .after_release(|connection, _| Box::pin(is_alive(connection)))
            .idle_timeout(Duration::from_secs(300))
            .connect_with(options)
            .await?;
        Ok(Self {
            pool,
            timeout: config.statement_timeout,
        })
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs a statement or a short transaction; a server that does not answer in time counts as away.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send,
    ) -> Result<T, LedgerError> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(LedgerError::Unavailable(format!(
                "no answer within {:?}",
                self.timeout
            ))),
        }
    }
}

/// Whether a connection that comes back to the pool answers. One whose other end is gone without a word (a fail-over, a
/// firewall that forgot it) would otherwise be waited for until TCP gives it up, in a quarter of an hour, and keep its
/// place in the pool all the while.
async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(RELEASE, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// A count or an epoch as the database holds it. Ours never exceed 31 bits.
fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A count or an epoch from the database, where CHECKs keep it from being negative.
fn count(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// A duration as the database holds it.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
