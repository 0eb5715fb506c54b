//! The feed across processes: who commits publishes to a channel of the run, and every process with a watcher of the run
//! has joined it. Sharded channels, one per run, so that a Redis Cluster spreads them.
//!
//! Messages may be lost, with Redis or one by one. So a slow tail of the ledger runs beside it: while Redis is there it
//! only finds what got lost, and while Redis is away it is the feed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::frame;
use super::hub::{Hub, Subscription};
use super::tail::{TICK, TailFeed};
use super::{Commit, Feed, Publish, Subscribe};
use crate::domain::{Cursor, RunId};
use crate::ledger::Log;
use crate::redis_link::{Listener, RedisLink};

/// How often the ledger is asked for what got lost while Redis is there.
const SLOW_TICK: Duration = Duration::from_secs(1);
/// Commits on their way to Redis. What does not fit is not published: the tail finds it.
const OUTBOX: usize = 4_096;
/// Commits sent in one round trip.
const BATCH: usize = 256;

/// Publishes to Redis and hears from it.
pub struct RedisFeed {
    link: Arc<RedisLink>,
    channels: Channels,
    tail: Arc<TailFeed>,
    outbox: mpsc::Sender<Commit>,
    /// Taken by [`RedisFeed::run`].
    posted: Mutex<mpsc::Receiver<Commit>>,
}

impl RedisFeed {
    /// A feed over this link; [`RedisFeed::run`] does the work.
    #[must_use]
    pub fn new(link: Arc<RedisLink>, log: Arc<dyn Log>) -> Arc<Self> {
        let channels = Channels::new(&link);
        let hub = Arc::<Hub>::default();
        let tail = Arc::new(TailFeed::over(Arc::clone(&hub), log));
        let inbox = Arc::new(Inbox {
            hub,
            tail: Arc::clone(&tail),
            channels: channels.clone(),
        });
        tail.set_tick(if link.is_up() { SLOW_TICK } else { TICK });
        link.listen(inbox);
        let (outbox, posted) = mpsc::channel(OUTBOX);
        Arc::new(Self {
            link,
            channels,
            tail,
            outbox,
            posted: Mutex::new(posted),
        })
    }

    /// Both sides of this feed.
    #[must_use]
    pub fn feed(self: &Arc<Self>) -> Feed {
        Feed {
            publish: self.clone(),
            subscribe: self.clone(),
        }
    }

    /// Sends what is published and follows the ledger, until `shutdown`; what was published by then is still sent.
    pub async fn run(&self, shutdown: CancellationToken) {
        tokio::join!(self.tail.run(shutdown.clone()), self.send(shutdown));
    }

    async fn send(&self, shutdown: CancellationToken) {
        let mut posted = self.posted.lock().await;
        let mut commits = Vec::with_capacity(BATCH);
        loop {
            let count = tokio::select! {
                biased;
                count = posted.recv_many(&mut commits, BATCH) => count,
                () = shutdown.cancelled() => 0,
            };
            if count == 0 {
                return;
            }
            let mut pipeline = redis::pipe();
            for commit in commits.drain(..) {
                pipeline
                    .cmd("SPUBLISH")
                    .arg(self.channels.of(commit.run))
                    .arg(frame::write(&commit.entries))
                    .ignore();
            }
            if let Err(error) = self.link.pipeline::<()>(&pipeline).await {
                tracing::debug!(%error, "commits were not published; watchers find them in the ledger");
            }
        }
    }
}

/// The channels of runs.
#[derive(Clone)]
struct Channels {
    before: Arc<str>,
}

impl Channels {
    fn new(link: &RedisLink) -> Self {
        Self {
            before: link.key("feed:").into(),
        }
    }

    /// The braces make the run alone choose the hash slot.
    fn of(&self, run: RunId) -> String {
        format!("{}{{{run}}}", self.before)
    }

    fn run(&self, channel: &[u8]) -> Option<RunId> {
        let run = channel
            .strip_prefix(self.before.as_bytes())?
            .strip_prefix(b"{")?
            .strip_suffix(b"}")?;
        std::str::from_utf8(run).ok()?.parse().ok()
    }
}

#[async_trait]
impl Publish for RedisFeed {
    async fn publish(&self, commits: Vec<Commit>) {
        for commit in commits {
            // Full or closed: losing is allowed, waiting is not.
            let _ = self.outbox.try_send(commit);
        }
    }
}

#[async_trait]
impl Subscribe for RedisFeed {
    async fn subscribe(&self, run: RunId, after: Cursor) -> Subscription {
        let subscription = self.tail.subscribe(run, after).await;
        let membership = self.link.join(self.channels.of(run)).await;
        subscription.staying_in(membership)
    }
}

/// Takes what comes in to the subscribers.
struct Inbox {
    hub: Arc<Hub>,
    tail: Arc<TailFeed>,
    channels: Channels,
}

impl Listener for Inbox {
    fn heard(&self, channel: &[u8], payload: &[u8]) {
        let Some(run) = self.channels.run(channel) else {
            return;
        };
        match frame::read(payload) {
            Some(entries) => self.hub.publish(run, entries),
            None => self.hub.look(run),
        }
    }

    fn lost(&self) {
        self.tail.set_tick(TICK);
    }

    fn restored(&self) {
        self.tail.set_tick(SLOW_TICK);
    }
}
