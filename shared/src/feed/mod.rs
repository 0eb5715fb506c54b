//! The feed carries committed entries to whoever watches now. It may lose everything: a watcher that notices a hole
//! reads the ledger. It never carries what is not committed.
//!
//! Three backends: [`LocalFeed`] inside one process, [`TailFeed`] which asks the ledger for news of all watched runs, and
//! [`RedisFeed`] which hears them from the workers, with a slow tail beside it for what gets lost on the way.

mod frame;
mod hub;
mod local;
mod redis;
mod tail;

use std::sync::Arc;

use async_trait::async_trait;

pub use hub::{News, Subscription};
pub use local::LocalFeed;
pub use redis::RedisFeed;
pub use tail::TailFeed;

use crate::domain::{Cursor, LogEntry, RunId};

/// What one commit added to one run's log.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The run.
    pub run: RunId,
    /// In order, dense, of one epoch.
    pub entries: Arc<[LogEntry]>,
}

/// The side of who commits.
#[async_trait]
pub trait Publish: Send + Sync {
    /// Tells whoever watches. Only ever called with what is in the ledger. Cannot fail: losing is allowed.
    async fn publish(&self, commits: Vec<Commit>);
}

/// The side of who watches.
#[async_trait]
pub trait Subscribe: Send + Sync {
    /// News of a run from now on. `after` is the latest entry the subscriber has: what it brings may begin there or
    /// later, so the subscriber reads the ledger once more after this returns.
    async fn subscribe(&self, run: RunId, after: Cursor) -> Subscription;
}

/// Both sides of one feed.
#[derive(Clone)]
pub struct Feed {
    /// For who commits.
    pub publish: Arc<dyn Publish>,
    /// For who watches.
    pub subscribe: Arc<dyn Subscribe>,
}

impl Feed {
    /// A feed inside this process.
    #[must_use]
    pub fn local() -> Self {
        let feed = Arc::new(LocalFeed::default());
        Self {
            publish: feed.clone(),
            subscribe: feed,
        }
    }
}
