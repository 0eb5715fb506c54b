//! A ledger and a feed to watch it by.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use shared::domain::{Cursor, LogEntry, RunId};
use shared::feed::{Feed, Publish, Subscribe, TailFeed};
use shared::watch::{Watch, Watcher};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, LONG};
use crate::lossy::{LossyLog, LossyPublish};
use crate::probe::Probe;

/// What is watched, and how.
pub(crate) struct Stage<'a> {
    fixture: &'a Fixture,
    /// Where commits are published.
    pub(crate) publish: Arc<dyn Publish>,
    /// Watches by the feed alone: without news it waits for good.
    pub(crate) watch: Watch,
    /// Watches by a feed that loses, repeats and delays a part of its messages, and asks the ledger now and then.
    pub(crate) lossy_watch: Watch,
    /// What the watchers ask of the ledger.
    pub(crate) probe: Arc<Probe>,
}

impl Deref for Stage<'_> {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        self.fixture
    }
}

/// Tells two feeds.
struct Both(Arc<dyn Publish>, Arc<dyn Publish>);

#[async_trait::async_trait]
impl Publish for Both {
    async fn publish(&self, commits: Vec<shared::feed::Commit>) {
        self.0.publish(commits.clone()).await;
        self.1.publish(commits).await;
    }
}

impl<'a> Stage<'a> {
    fn new(
        fixture: &'a Fixture,
        publish: Arc<dyn Publish>,
        subscribe: Arc<dyn Subscribe>,
        lossy: Arc<dyn Subscribe>,
    ) -> Self {
        let probe = Probe::new(fixture.log.clone());
        Self {
            fixture,
            publish,
            watch: Watch::new(probe.clone(), subscribe).with_recheck(LONG),
            lossy_watch: Watch::new(fixture.log.clone(), lossy).with_recheck(Duration::from_millis(20)),
            probe,
        }
    }

    /// Watchers in the process that commits.
    pub(crate) async fn local(fixture: &Fixture, test: impl AsyncFnOnce(&Stage<'_>)) {
        let (feed, lossy) = (Feed::local(), Feed::local());
        let publish = Both(feed.publish, Arc::new(LossyPublish::new(lossy.publish)));
        test(&Stage::new(
            fixture,
            Arc::new(publish),
            feed.subscribe,
            lossy.subscribe,
        ))
        .await;
    }

    /// Watchers in a process that shares the ledger with it.
    pub(crate) async fn tail(fixture: &Fixture, test: impl AsyncFnOnce(&Stage<'_>)) {
        let tail = TailFeed::new(fixture.log.clone());
        let lossy = TailFeed::new(Arc::new(LossyLog::new(fixture.log.clone())));
        let shutdown = CancellationToken::new();
        let following = [&tail, &lossy].map(|tail| {
            let (tail, shutdown) = (Arc::clone(tail), shutdown.clone());
            tokio::spawn(async move { tail.run(shutdown).await })
        });
        let feed = tail.feed();
        let stage = Stage::new(fixture, feed.publish, feed.subscribe, lossy.feed().subscribe);
        test(&stage).await;
        shutdown.cancel();
        for following in following {
            following.await.unwrap();
        }
    }

    /// Watches a run from after a cursor of its log.
    pub(crate) async fn open(&self, run: RunId, after: Cursor) -> Watcher {
        self.watch.open(run, after).await.unwrap()
    }

    /// What the log has after a cursor.
    pub(crate) async fn log_after(&self, run: RunId, after: Cursor) -> Vec<LogEntry> {
        let mut log = self.whole_log(run).await;
        log.retain(|entry| entry.cursor > after);
        log
    }
}

/// The next entry, which must come.
pub(crate) async fn next(watcher: &mut Watcher) -> LogEntry {
    guard(watcher.next()).await.expect("more")
}

/// Everything up to and with this entry.
pub(crate) async fn until(watcher: &mut Watcher, last: Cursor) -> Vec<LogEntry> {
    let mut seen = Vec::new();
    while watcher.last() < last {
        seen.push(next(watcher).await);
    }
    seen
}

/// Everything to the end, which must come.
pub(crate) async fn to_the_end(watcher: &mut Watcher) -> Vec<LogEntry> {
    let mut seen = Vec::new();
    while let Some(entry) = guard(watcher.next()).await {
        seen.push(entry);
    }
    seen
}

/// Waits for what must happen, so that a test fails instead of hanging.
async fn guard<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), awaited)
        .await
        .expect("it never happened")
}
