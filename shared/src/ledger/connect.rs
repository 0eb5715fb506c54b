//! Opening a ledger: which database, with which pool. The schema is applied by the caller, who knows the migrations.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector};

use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{Ledger, LedgerError, Reader};
use crate::config::PostgresConfig;

/// Name of the database inside a data folder.
const FILE: &str = "ledger.sqlite";
const LOCK: &str = "lock";
/// How long a reader waits for the embedded database: longer only when the disk hangs.
const EMBEDDED_PATIENCE: Duration = Duration::from_secs(10);

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Another process works in the data folder.
    #[error("another process is using the data folder {}: stop it, or choose another one with --data", .0.display())]
    InUse(PathBuf),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database does not answer or refuses us.
    #[error(transparent)]
    Database(#[from] LedgerError),
}

/// Connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct PoolStatus {
    /// Open connections.
    pub size: u32,
    /// Of these, doing nothing.
    pub idle: u32,
    /// As many as there may be.
    pub max: u32,
}

/// A data folder that belongs to this process until this is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder where there is none and takes its lock. The system gives the lock back when the process
    /// ends, however it ends.
    ///
    /// # Errors
    /// When another process has it, or the folder cannot be written.
    pub fn lock(path: &Path) -> Result<Self, ConnectError> {
        let failed = |source| ConnectError::Folder {
            folder: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(ConnectError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its database is.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join(FILE)
    }
}

impl Ledger {
    /// Opens the SQLite file at `path`, creating it where there is none. The caller holds the folder's lock.
    ///
    /// # Errors
    /// When it cannot be opened or is not a database.
    pub async fn open_sqlite(path: &Path) -> Result<Self, ConnectError> {
        let backend = Arc::new(Sqlite::open(path).await?);
        let writer = SqlxSqliteConnector::from_sqlx_sqlite_pool(backend.migrating().clone());
        let readers = backend.read_pool().clone();
        let reader = SqlxSqliteConnector::from_sqlx_sqlite_pool(readers.clone());
        let pool = move || PoolStatus {
            size: readers.size(),
            idle: idle(readers.num_idle()),
            max: readers.options().get_max_connections(),
        };
        Ok(Self {
            submit: backend.clone(),
            execute: backend.clone(),
            backlog: backend.clone(),
            upkeep: backend.clone(),
            fleet: backend.clone(),
            log: backend,
            reader: Reader {
                db: reader,
                patience: EMBEDDED_PATIENCE,
                pool: Arc::new(pool),
            },
            writer,
        })
    }

    /// Connects to Postgres.
    ///
    /// # Errors
    /// When it does not answer, refuses us, or the URL cannot be read.
    pub async fn open_postgres(config: &PostgresConfig) -> Result<Self, ConnectError> {
        let backend = Arc::new(Postgres::connect(config).await?);
        let connections = backend.pool().clone();
        let db = SqlxPostgresConnector::from_sqlx_postgres_pool(connections.clone());
        let pool = move || PoolStatus {
            size: connections.size(),
            idle: idle(connections.num_idle()),
            max: connections.options().get_max_connections(),
        };
        Ok(Self {
            submit: backend.clone(),
            execute: backend.clone(),
            backlog: backend.clone(),
            upkeep: backend.clone(),
            fleet: backend.clone(),
            log: backend,
            reader: Reader {
                db: db.clone(),
                patience: config.statement_timeout,
                pool: Arc::new(pool),
            },
            writer: db,
        })
    }

    /// The connection migrations are applied on.
    #[must_use]
    pub const fn connection(&self) -> &DatabaseConnection {
        &self.writer
    }
}

fn idle(connections: usize) -> u32 {
    u32::try_from(connections).unwrap_or(u32::MAX)
}
