//! The feed of a process that shares nothing with the workers but the ledger: one query per tick asks for news of all
//! watched runs. Costs up to one tick of latency and nothing while nobody watches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::hub::{Hub, Subscription};
use super::{Commit, Feed, Publish, Subscribe};
use crate::domain::{Cursor, LogEntry, RunId};
use crate::ledger::{LedgerError, Log, is_full_page};

/// How often the ledger is asked, where nothing else brings the news.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Entries read by one query. A full page, also by its size, is followed by another query at once.
const PAGE: u32 = 2_000;
/// Runs asked about in one query.
const RUNS_PER_QUERY: usize = 1_000;
/// The longest pause while the ledger is away.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Reads the ledger on behalf of the watchers of this process.
pub struct TailFeed {
    hub: Arc<Hub>,
    log: Arc<dyn Log>,
    subscribed: Notify,
    tick: watch::Sender<Duration>,
}

impl TailFeed {
    /// A tail of this ledger; [`TailFeed::run`] does the work.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self::over(Arc::default(), log))
    }

    /// A tail that shares its subscribers with another feed.
    pub(super) fn over(hub: Arc<Hub>, log: Arc<dyn Log>) -> Self {
        Self {
            hub,
            log,
            subscribed: Notify::new(),
            tick: watch::Sender::new(TICK),
        }
    }

    /// Asks the ledger so often from now on.
    pub(super) fn set_tick(&self, tick: Duration) {
        self.tick.send_replace(tick);
    }

    /// Both sides of this feed.
    #[must_use]
    pub fn feed(self: &Arc<Self>) -> Feed {
        Feed {
            publish: self.clone(),
            subscribe: self.clone(),
        }
    }

    /// Follows the ledger until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let follow = async {
            let mut ticks = self.tick.subscribe();
            let mut away: Option<Duration> = None;
            loop {
                let tick = *ticks.borrow_and_update();
                let pause = sleep(away.unwrap_or(tick));
                tokio::select! {
                    () = pause => {}
                    _ = ticks.changed(), if away.is_none() => continue,
                }
                let watched = self.hub.positions();
                if watched.is_empty() {
                    self.subscribed.notified().await;
                    continue;
                }
                match self.read(watched).await {
                    Ok(()) => away = None,
                    Err(error) => {
                        tracing::warn!(%error, "tail feed: cannot read the ledger; watchers wait");
                        away = Some((away.unwrap_or(TICK) * 2).min(MAX_PAUSE));
                    }
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow => {}
        }
    }

    /// Hands on everything that is new. Who has just been served goes to the end of the next question, so that a long
    /// log is no hold-up for the others.
    async fn read(&self, watched: Vec<(RunId, Cursor)>) -> Result<(), LedgerError> {
        for runs in watched.chunks(RUNS_PER_QUERY) {
            let mut positions = runs.to_vec();
            loop {
                let news = self.log.tail(&positions, PAGE).await?;
                let more = is_full_page(news.iter().map(|(_, entry)| entry), PAGE);
                let served = by_run(news);
                positions.retain(|(run, _)| !served.contains_key(run));
                for (run, entries) in served {
                    positions.extend(entries.last().map(|last| (run, last.cursor)));
                    self.hub.publish(run, entries.into());
                }
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn by_run(news: Vec<(RunId, LogEntry)>) -> HashMap<RunId, Vec<LogEntry>> {
    let mut grouped: HashMap<RunId, Vec<LogEntry>> = HashMap::new();
    for (run, entry) in news {
        grouped.entry(run).or_default().push(entry);
    }
    grouped
}

#[async_trait]
impl Publish for TailFeed {
    /// Nothing to do: whoever watches reads the ledger, in this process as in any other.
    async fn publish(&self, _commits: Vec<Commit>) {}
}

#[async_trait]
impl Subscribe for TailFeed {
    async fn subscribe(&self, run: RunId, after: Cursor) -> Subscription {
        let subscription = self.hub.subscribe(run, after);
        self.subscribed.notify_one();
        subscription
    }
}
