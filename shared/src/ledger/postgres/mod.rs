//! The ledger on Postgres 14 or later. Hot writes are one statement each, with arrays and `UNNEST`, so that they are one
//! round trip and one commit.
//!
//! Locks, always in this order: the worker's row, then runs. A worker's own writes take its row `FOR KEY SHARE`, which a
//! renewal does not disturb; the reaper takes it `FOR UPDATE`, which waits for the writes under way and makes all later
//! ones see a dead worker. `FOR KEY SHARE` and not `FOR SHARE`: a renewal updates no key column, so the two do not wait
//! for each other.

mod append;
mod backlog;
mod execute;
mod fleet;
mod gate;
mod lane;
mod log;
mod partitions;
#[cfg(test)]
mod plans;
mod submit;
mod upkeep;
mod usage;

use std::future::Future;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::time::timeout;

use super::LedgerError;
use crate::config::PostgresConfig;
use gate::Gate;
use lane::Lane;

/// How long to wait for a connection. The pool knocks again and again in that time when the server refuses: callers
/// should hear soon that it is away, and do their own waiting. Long enough for a connection to be made on a machine that
/// is busy.
const ACQUIRE: Duration = Duration::from_secs(5);

/// How long a connection that comes back to the pool may take to answer; and how long one that replaces it may take to
/// stand, and the pause before the next try.
const RELEASE: Duration = Duration::from_secs(2);

/// A statement is planned once, for any arguments. Left to itself Postgres finds our arrays worth a plan of their own each
/// time, and planning costs more than all the rest.
const PLANNED_ONCE: (&str, &str) = ("plan_cache_mode", "force_generic_plan");
/// In the lanes rows are looked up by key and never searched for. Reading a whole table is the cheapest plan while the
/// table is young, and a plan that is made once would be kept while it grows.
const NO_TABLE_READ: (&str, &str) = ("enable_seqscan", "off");
/// No statement runs for long, however long its plan looks to take: beside a long queue, compiling it took 50 ms, and
/// running it 0.3.
const NOT_COMPILED: (&str, &str) = ("jit", "off");

/// The Postgres backend.
pub(super) struct Postgres {
    pool: PgPool,
    /// Of the API's accepting task.
    accepting: Lane,
    /// Of the worker's claim loop.
    claiming: Lane,
    /// Of the worker's writer.
    appending: Lane,
    timeout: Duration,
    gate: Gate,
}

impl Postgres {
    /// Connects once, to see that the server is there; other connections are made when needed.
    pub(super) async fn connect(config: &PostgresConfig) -> Result<Self, LedgerError> {
        let options: PgConnectOptions =
            config.url.expose_secret().parse().map_err(|error: sqlx::Error| {
                // The parser's messages do not repeat the URL, which may hold a password.
                LedgerError::Refused(format!("DATABASE_URL cannot be read: {error}"))
            })?;
        let options = options
            .application_name("mcpctl")
            .statement_cache_capacity(200)
            .options([PLANNED_ONCE, NOT_COMPILED]);
        let again = options.clone();
        let lane = || Lane::new(options.clone().options([NO_TABLE_READ]));
        let (accepting, claiming, appending) = (lane(), lane(), lane());
        let pool = PgPoolOptions::new()
            .max_connections(config.connections)
            .acquire_timeout(config.statement_timeout.min(ACQUIRE))
            .test_before_acquire(false)
            .after_release(move |connection, _| {
                let options = again.clone();
                Box::pin(async move { revive(connection, &options).await })
            })
            .idle_timeout(Duration::from_secs(300))
            .connect_with(options)
            .await?;
        Ok(Self {
            pool,
            accepting,
            claiming,
            appending,
            timeout: config.statement_timeout,
            gate: Gate::open(),
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
        let _pass = self.gate.enter()?;
        match timeout(self.timeout, work).await {
            Ok(done) => {
                self.gate.note(&done);
                Ok(done?)
            }
            Err(_) => Err(LedgerError::Unavailable(format!(
                "no answer within {:?}",
                self.timeout
            ))),
        }
    }
}

/// Sees that a connection which comes back to the pool answers, and replaces it on the spot when it does not. One whose
/// other end is gone without a word (a fail-over, a firewall that forgot it) would otherwise be waited for until TCP
/// gives it up, in a quarter of an hour, and keep its place in the pool all the while. It is dropped and not closed:
/// with TLS, closing waits for the other end as well.
async fn revive(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    if let Ok(answered) = timeout(RELEASE, connection.ping()).await {
        return answered.map(|()| true);
    }
    tracing::warn!("a connection to the database is dead; replacing it");
    loop {
        if let Ok(Ok(fresh)) = timeout(RELEASE, options.connect()).await {
            *connection = fresh;
            return Ok(true);
        }
        tokio::time::sleep(RELEASE).await;
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
