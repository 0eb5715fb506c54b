//! What a reader uses: a run's history from the ledger joined to the live feed, as one ordered stream without gap or
//! repeat. It only reads.
//!
//! The join: subscribe ▸ read history ▸ live, dropping what was seen. A hole, a new epoch or a lagging subscription
//! means reading the ledger again; nothing is handed on that does not follow what was handed on before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::domain::{Cursor, LogEntry, RunId};
use crate::feed::{News, Subscribe, Subscription};
use crate::ledger::{LedgerError, Log, is_full_page};

/// Entries read from the ledger at a time.
const PAGE: u32 = 256;
/// Without news for so long, the ledger is asked all the same: the feed may lose everything.
const RECHECK: Duration = Duration::from_secs(10);
/// Pauses between tries while the ledger is away.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Why a run cannot be watched from a cursor.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The run's log never had this entry.
    #[error("the log of this run has no entry {0}")]
    UnknownCursor(Cursor),
    /// The ledger is away.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Opens watchers.
#[derive(Clone)]
pub struct Watch {
    log: Arc<dyn Log>,
    feed: Arc<dyn Subscribe>,
    recheck: Duration,
}

impl Watch {
    /// Joins this log to this feed.
    #[must_use]
    pub const fn new(log: Arc<dyn Log>, feed: Arc<dyn Subscribe>) -> Self {
        Self {
            log,
            feed,
            recheck: RECHECK,
        }
    }

    /// The same, but asking the ledger after `recheck` without news; 10 s unless said.
    #[must_use]
    pub fn with_recheck(self, recheck: Duration) -> Self {
        Self { recheck, ..self }
    }

    /// Makes ready to watch a run that is not in the ledger yet: who accepts it has its history at hand, and need not
    /// read it back.
    pub async fn expect(&self, run: RunId) -> Expected {
        Expected(Watcher {
            log: Arc::clone(&self.log),
            subscription: self.feed.subscribe(run, Cursor::QUEUED).await,
            run,
            recheck: self.recheck,
            last: Cursor::START,
            ended: false,
            pending: VecDeque::new(),
            live: true,
            pause: PAUSE,
        })
    }

    /// Watches an existing run from after a cursor that its log issued, or from the start.
    ///
    /// # Errors
    /// When the cursor is not of this log, or the ledger is away.
    pub async fn open(&self, run: RunId, after: Cursor) -> Result<Watcher, WatchError> {
        let mut ended = false;
        if after != Cursor::START {
            let before = Cursor::new(after.epoch, after.seq.saturating_sub(1));
            let found = self.log.entries(run, before, 1).await?;
            let entry = found.first().filter(|entry| entry.cursor == after);
            let entry = entry.ok_or(WatchError::UnknownCursor(after))?;
            ended = entry.kind.terminal_status().is_some();
        }
        Ok(Watcher {
            log: Arc::clone(&self.log),
            subscription: self.feed.subscribe(run, after).await,
            run,
            recheck: self.recheck,
            last: after,
            ended,
            pending: VecDeque::new(),
            live: false,
            pause: PAUSE,
        })
    }
}

/// A run that may come to be.
pub struct Expected(Watcher);

impl Expected {
    /// It came to be, and this is its first entry, as the ledger has it: watches from before it.
    #[must_use]
    pub fn accepted(self, queued: LogEntry) -> Watcher {
        let mut watcher = self.0;
        watcher.pending.push_back(queued);
        watcher
    }
}

/// One reader of one run.
pub struct Watcher {
    log: Arc<dyn Log>,
    subscription: Subscription,
    run: RunId,
    recheck: Duration,
    last: Cursor,
    ended: bool,
    pending: VecDeque<LogEntry>,
    /// Everything up to `last` was seen and the feed brings what follows; otherwise the ledger has to be read first.
    live: bool,
    pause: Duration,
}

impl Watcher {
    /// The next entry; none after the terminal one. Cancel-safe. While the ledger is away it waits.
    pub async fn next(&mut self) -> Option<LogEntry> {
        loop {
            if let Some(entry) = self.pending.pop_front() {
                self.last = entry.cursor;
                self.ended = entry.kind.terminal_status().is_some();
                return Some(entry);
            }
            if self.ended {
                return None;
            }
            self.fill().await;
        }
    }

    /// The latest entry handed on.
    #[must_use]
    pub const fn last(&self) -> Cursor {
        self.last
    }

    /// Entries that are here already and can be had without waiting.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.pending.len()
    }

    async fn fill(&mut self) {
        if self.live {
            let news = timeout(self.recheck, self.subscription.recv())
                .await
                .unwrap_or(News::Look);
            self.live = self.take(news);
        } else {
            self.catch_up().await;
        }
    }

    /// Takes what follows from the feed; false when there is a hole.
    fn take(&mut self, news: News) -> bool {
        let News::Entries(entries) = news else {
            return false;
        };
        let mut last = self.last;
        for entry in entries.iter() {
            if entry.cursor <= last {
                continue;
            }
            if !last.is_followed_by(entry.cursor) {
                return false;
            }
            last = entry.cursor;
            self.pending.push_back(entry.clone());
        }
        true
    }

    /// Reads one page of the ledger after the last entry; live once there is no more.
    async fn catch_up(&mut self) {
        match self.log.entries(self.run, self.last, PAGE).await {
            Ok(entries) => {
                self.pause = PAUSE;
                self.live = !is_full_page(&entries, PAGE);
                self.pending.extend(entries);
            }
            Err(error) => {
                tracing::warn!(run = %self.run, %error, "watch: cannot read the ledger; waiting");
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(MAX_PAUSE);
            }
        }
    }
}
