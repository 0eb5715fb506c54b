//! The ledger on SQLite: one file, one process. One thread writes ([`writer`]), so transactions are serial and nothing
//! here locks or retries; a few read-only connections read beside it (write-ahead log), each statement its own snapshot
//! of what is committed.
//!
//! A write is a closure over the writer's connection, made of prepared statements for one row each: on the thread that owns
//! the connection a statement costs microseconds, whatever the batch, and what is dear (the fsync of a commit, the waking
//! of a thread) is paid once for all closures that wait together.
//!
//! A limit that is bound is written `LIMIT (?1 + 0)`: after a bare `LIMIT ?1` SQLite prepares the statement again each time
//! another value is bound.
//!
//! Never: a transaction across calls, or a read that must be exact ([`Execute::held`], [`Execute::committed`]) on a
//! connection that is not the writer's.
//!
//! [`Execute::held`]: super::Execute::held
//! [`Execute::committed`]: super::Execute::committed

mod backlog;
mod closing;
mod decode;
mod execute;
mod fleet;
mod log;
#[cfg(test)]
mod plans;
mod readers;
mod rows;
mod submit;
mod upkeep;
mod usage;
mod writer;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use self::readers::Readers;
use self::writer::Writer;
use super::LedgerError;
use crate::domain::Timestamp;

/// SQL for database time, in whole milliseconds. Rounded, because the product of a fraction and 1000 may fall just
/// below the millisecond it means. One value per statement: SQLite reads the clock once per step.
macro_rules! now {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"
    };
}
use now;

/// How long a caller waits before the ledger counts as unavailable: longer only when the disk hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long SQLite itself waits for a lock: a migration's, or another process's that looks into the file.
const BUSY: Duration = Duration::from_secs(5);
/// Connections for [`super::Reader`].
const READERS: u32 = 4;
/// How long the connection for migrations stays open.
const MIGRATING: Duration = Duration::from_secs(60);
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 64;

/// The connections to one database file.
#[derive(Debug)]
pub(super) struct Sqlite {
    writer: Writer,
    readers: Readers,
    /// For [`super::Reader`], which both databases share.
    reading: SqlitePool,
    migrating: SqlitePool,
}

impl Sqlite {
    /// Opens the file, creating it if there is none. The caller holds the lock on its folder and applies the
    /// migrations on the [`Sqlite::migrating`] pool.
    ///
    /// # Errors
    /// When the file cannot be opened or is not a database.
    pub(super) async fn open(path: &Path) -> Result<Self, LedgerError> {
        let file = path.to_owned();
        // First the writer: it creates the file and turns the write-ahead log on, which readers cannot.
        let writer = tokio::task::spawn_blocking(move || Writer::start(open_writer(&file)?))
            .await
            .map_err(|error| LedgerError::Unavailable(format!("opening broke off: {error}")))??;
        // No foreign keys: the schema has none. A mapped file saves copying pages that were read before.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .foreign_keys(false)
            .pragma("temp_store", "MEMORY")
            .pragma("mmap_size", "268435456");
        let migrating = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(MIGRATING)
            .connect_lazy_with(options.clone());
        let reading = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.read_only(true).pragma("cache_size", "-8192"))
            .await?;
        Ok(Self {
            writer,
            readers: Readers::new(path),
            reading,
            migrating,
        })
    }

    /// One connection on which the schema can be changed.
    pub(super) const fn migrating(&self) -> &SqlitePool {
        &self.migrating
    }

    /// Read-only connections.
    pub(super) const fn read_pool(&self) -> &SqlitePool {
        &self.reading
    }
}

fn open_writer(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open(path)?;
    prepare(&connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // FULL: in WAL mode each commit is on the disk before it is answered. NORMAL would lose the latest ones with the
    // power, and an accepted run must not be lost.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    // A checkpoint that had to wait for readers leaves a long log behind: cut it afterwards.
    connection.pragma_update_and_check(None, "journal_size_limit", 67_108_864, |_| Ok(()))?;
    Ok(connection)
}

/// What every connection of ours is told.
fn prepare(connection: &Connection) -> Result<(), LedgerError> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A mapped file saves copying pages that were read before.
    connection.pragma_update_and_check(None, "mmap_size", 268_435_456, |_| Ok(()))?;
    Ok(())
}

/// Database time.
fn read_clock(connection: &Connection) -> Result<Timestamp, LedgerError> {
    let mut statement = connection.prepare_cached(concat!("SELECT ", now!(), " AS now"))?;
    statement.query_one([], |row| Ok(decode::moment(row, "now")))?
}

/// A duration as the database counts it.
fn millis(duration: Duration) -> i64 {
    // Halved, so that adding it to a moment cannot overflow.
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .min(i64::MAX / 2)
}

/// A count as the other database would hold it: readers are the same for both.
fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
