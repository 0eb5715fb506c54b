//! Connections that read beside the writer: each statement its own snapshot of what is committed. They are opened when
//! they are needed, and used on the runtime's threads for blocking work.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::ledger::LedgerError;

/// Connections at the same time.
const READERS: usize = 4;

/// Read-only connections over one file.
#[derive(Debug)]
pub(super) struct Readers {
    path: Arc<Path>,
    turns: Semaphore,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Readers of a file that exists, in write-ahead mode.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            turns: Semaphore::new(READERS),
            idle: Arc::default(),
        }
    }

    /// Reads.
    ///
    /// # Errors
    /// Those of the work; [`LedgerError::Unavailable`] when the file cannot be opened or there is no turn within
    /// [`super::PATIENCE`].
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let reading = async {
            // An error would mean that it was closed, which nobody does.
            let _turn = self.turns.acquire().await;
            let idle = Arc::clone(&self.idle);
            let path = Arc::clone(&self.path);
            let read = tokio::task::spawn_blocking(move || {
                let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = match taken {
                    Some(connection) => connection,
                    None => open(&path)?,
                };
                let read = work(&connection);
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
                read
            });
            read.await
                .map_err(|error| LedgerError::Unavailable(format!("reading broke off: {error}")))?
        };
        tokio::time::timeout(super::PATIENCE, reading)
            .await
            .map_err(|_| LedgerError::Unavailable(format!("nothing read within {:?}", super::PATIENCE)))?
    }
}

fn open(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    super::prepare(&connection)?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    Ok(connection)
}
