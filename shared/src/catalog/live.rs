//! The catalog in force. Where the user has a file, it is looked at once a second, and what it says now takes the place
//! of what it said before, without a restart. A file that is bad or gone changes nothing: that is said in the log, once,
//! and the catalog in force stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Catalog, CatalogError};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The catalog in force, for who routes and estimates. Clones see the same.
#[derive(Debug, Clone)]
pub struct CatalogHandle(watch::Receiver<Arc<Catalog>>);

impl CatalogHandle {
    /// A catalog that stays.
    #[must_use]
    pub fn fixed(catalog: Catalog) -> Self {
        Self(watch::channel(Arc::new(catalog)).1)
    }

    /// The catalog in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.borrow())
    }

    /// Returns once another catalog is in force than the one this handle has last been told of; for ever where none
    /// can come.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Looks at the user's file, and puts what it says in force.
#[derive(Debug)]
pub struct CatalogReloader {
    path: PathBuf,
    base: Catalog,
    force: watch::Sender<Arc<Catalog>>,
    seen: Option<Stamp>,
}

/// What a look at the file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// It is the file that was there before.
    Unchanged,
    /// What it says is in force now.
    Taken,
    /// It is not taken; what was in force stays.
    Refused(CatalogError),
}

/// What tells a changed file: when it was written, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
        })
    }
}

impl CatalogReloader {
    /// Reads the file on top of a catalog and puts the result in force.
    ///
    /// # Errors
    /// When the file cannot be read or is not a good one: at the start there is nothing that could stay in force.
    pub fn open(base: Catalog, path: PathBuf) -> Result<(CatalogHandle, Self), CatalogError> {
        // Before it is read: what is written meanwhile makes another stamp, and is read at the next look.
        let seen = Stamp::of(&path);
        let (force, handle) = watch::channel(Arc::new(base.merge_file(&path)?));
        let reloader = Self {
            path,
            base,
            force,
            seen,
        };
        Ok((CatalogHandle(handle), reloader))
    }

    /// Looks at the file once. Reads it when it has changed; so call it where waiting for a disk is allowed.
    pub fn look(&mut self) -> Reload {
        let stamp = Stamp::of(&self.path);
        if stamp == self.seen {
            return Reload::Unchanged;
        }
        self.seen = stamp;
        match self.base.merge_file(&self.path) {
            Ok(catalog) => {
                self.force.send_replace(Arc::new(catalog));
                Reload::Taken
            }
            Err(error) => Reload::Refused(error),
        }
    }

    /// Looks at the file once a second until it is told to end.
    pub async fn run(mut self, ended: CancellationToken) {
        let mut turns = tokio::time::interval(EVERY);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                _ = turns.tick() => {}
            }
            let looking = tokio::task::spawn_blocking(move || {
                let result = self.look();
                (self, result)
            });
            let Ok((back, result)) = looking.await else {
                // Only a runtime that is shutting down gives nothing back.
                return;
            };
            self = back;
            match result {
                Reload::Unchanged => {}
                Reload::Taken => {
                    tracing::info!(file = %self.path.display(), "the catalog file was read again");
                }
                Reload::Refused(error) => {
                    tracing::warn!(%error, "the catalog file is not taken; what it said before stays in force");
                }
            }
        }
    }
}
