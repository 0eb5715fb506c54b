//! A connection that one busy path keeps for itself. A pool asks each connection that comes back whether it is still
//! alive, which is right for rare statements and two round trips too many for one that is sent hundreds of times per
//! second: here the next statement finds out.
//!
//! The connection is taken out while it is used, and put back only after an answer: a caller that gives up in the
//! middle drops it, and nobody else meets half a conversation.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use super::ACQUIRE;

/// After so much silence a connection is asked before it is used: its other end may be gone without a word.
const QUIET: Duration = Duration::from_secs(5);
/// How long it may take to answer that.
const ANSWER: Duration = Duration::from_secs(2);

/// A place for one connection, made when it is first needed.
pub(super) struct Lane {
    options: PgConnectOptions,
    kept: Mutex<Option<Kept>>,
}

pub(super) struct Kept {
    connection: PgConnection,
    used: Instant,
}

impl Lane {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            kept: Mutex::new(None),
        }
    }

    /// The connection of this lane, or one of the pool when somebody else is on it.
    pub(super) async fn enter<'a>(&'a self, pool: &PgPool) -> Result<Ride<'a>, sqlx::Error> {
        let Ok(mut place) = self.kept.try_lock() else {
            return Ok(Ride::Pooled(pool.acquire().await?));
        };
        let connection = match place.take() {
            Some(kept) if kept.used.elapsed() < QUIET => kept.connection,
            Some(kept) => self.asked(kept.connection).await?,
            None => self.connect().await?,
        };
        Ok(Ride::Own { connection, place })
    }

    async fn asked(&self, mut connection: PgConnection) -> Result<PgConnection, sqlx::Error> {
        match timeout(ANSWER, connection.ping()).await {
            Ok(Ok(())) => Ok(connection),
            // Dropped, not closed: closing might wait for the other end as well.
            Ok(Err(_)) | Err(_) => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        timeout(ACQUIRE, self.options.connect())
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

/// A connection for one statement or transaction.
pub(super) enum Ride<'a> {
    /// The lane's.
    Own {
        connection: PgConnection,
        place: MutexGuard<'a, Option<Kept>>,
    },
    /// The pool's, which takes it back by itself.
    Pooled(PoolConnection<Postgres>),
}

impl Ride<'_> {
    /// Ends the ride; the connection is kept unless the outcome speaks against it.
    pub(super) fn end<T>(self, outcome: &Result<T, sqlx::Error>) {
        let Self::Own {
            connection,
            mut place,
        } = self
        else {
            return;
        };
        let answered = match outcome {
            Ok(_) => true,
            // The server disliked a statement, and may have ended the session over it (57…: shutting down).
            Err(sqlx::Error::Database(error)) => !error
                .code()
                .is_some_and(|code| code.starts_with("57") || code.starts_with("08")),
            Err(_) => false,
        };
        if answered {
            *place = Some(Kept {
                connection,
                used: Instant::now(),
            });
        }
    }
}

impl Deref for Ride<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Own { connection, .. } => connection,
            Self::Pooled(connection) => connection,
        }
    }
}

impl DerefMut for Ride<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Own { connection, .. } => connection,
            Self::Pooled(connection) => connection,
        }
    }
}
