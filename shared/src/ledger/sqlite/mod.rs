//! The ledger on SQLite: one file, one process. A single connection writes, so transactions are serial and nothing
//! here locks or retries; a few read-only connections read beside it (write-ahead log), each statement its own
//! snapshot of what is committed.
//!
//! Every write is `BEGIN IMMEDIATE … COMMIT` with a handful of statements, whatever the size of the batch: many rows
//! travel as one multi-row `INSERT`, many ids as one JSON array. A statement is a trip to the connection's own thread,
//! and a commit is an fsync: both are paid per batch, never per row.
//!
//! A limit that is bound is written `LIMIT (?1 + 0)`: after a bare `LIMIT ?1` SQLite prepares the statement again each time
//! another value is bound, which was a third of the embedded engine's CPU.
//!
//! Never: a transaction across calls, or a read that must be exact ([`Execute::held`], [`Execute::committed`]) on a
//! connection that is not the writer's.
//!
//! [`Execute::held`]: super::Execute::held
//! [`Execute::committed`]: super::Execute::committed

mod backlog;
mod bulk;
mod closing;
mod decode;
mod execute;
mod log;
#[cfg(test)]
mod plans;
mod submit;
mod upkeep;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};

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

/// How long a caller waits for the writer before the ledger counts as unavailable.
const ACQUIRE: Duration = Duration::from_secs(10);
/// How long SQLite itself waits for a lock; only another process that looks into the file could hold one.
const BUSY: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// A transaction of the one writer.
type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

/// The two pools over one database file.
#[derive(Debug)]
pub(super) struct Sqlite {
    write: SqlitePool,
    read: SqlitePool,
}

impl Sqlite {
    /// Opens the file, creating it if there is none. The caller holds the lock on its folder and applies the
    /// migrations on the [`Sqlite::write_pool`].
    ///
    /// # Errors
    /// When the file cannot be opened or is not a database.
    pub(super) async fn open(path: &Path) -> Result<Self, LedgerError> {
        // No foreign keys: the schema has none. A mapped file saves copying pages that were read before.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .foreign_keys(false)
            .pragma("temp_store", "MEMORY")
            .pragma("mmap_size", "268435456");
        let writer = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: in WAL mode each commit is on the disk before it is answered. NORMAL would lose the latest ones
            // with the power, and an accepted run must not be lost.
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-32768")
            // A checkpoint that had to wait for readers leaves a long log behind: cut it afterwards.
            .pragma("journal_size_limit", "67108864");
        // First the writer: it creates the file and turns the write-ahead log on, which readers cannot.
        let write = pool(1).connect_with(writer).await?;
        let read = pool(READERS)
            .connect_with(options.read_only(true).pragma("cache_size", "-8192"))
            .await?;
        Ok(Self { write, read })
    }

    /// The one connection that writes.
    pub(super) const fn write_pool(&self) -> &SqlitePool {
        &self.write
    }

    /// Read-only connections.
    pub(super) const fn read_pool(&self) -> &SqlitePool {
        &self.read
    }

    /// Begins writing: from here to the commit nobody else writes, so what was read stays true.
    async fn begin(&self) -> Result<Transaction, LedgerError> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// Connections stay open for good: they are threads of this process, with warm caches.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Database time.
async fn read_clock(transaction: &mut Transaction) -> Result<Timestamp, LedgerError> {
    let row: SqliteRow = sqlx::query(concat!("SELECT ", now!(), " AS now"))
        .fetch_one(&mut **transaction)
        .await?;
    decode::moment(&row, "now")
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
