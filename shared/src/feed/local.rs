//! The feed inside one process: what is committed goes straight to who watches.

use std::sync::Arc;

use async_trait::async_trait;

use super::hub::{Hub, Subscription};
use super::{Commit, Publish, Subscribe};
use crate::domain::{Cursor, RunId};

/// Hands commits from the journal to the watchers of the same process.
#[derive(Default)]
pub struct LocalFeed {
    hub: Arc<Hub>,
}

#[async_trait]
impl Publish for LocalFeed {
    async fn publish(&self, commits: Vec<Commit>) {
        for commit in commits {
            self.hub.publish(commit.run, commit.entries);
        }
    }
}

#[async_trait]
impl Subscribe for LocalFeed {
    async fn subscribe(&self, run: RunId, after: Cursor) -> Subscription {
        self.hub.subscribe(run, after)
    }
}
