//! The real log, seen through: what is asked of it, and what it answers, can be awaited.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::{Cursor, LogEntry, RunId};
use shared::ledger::{LedgerError, Log};
use tokio::sync::watch;

/// What has been asked so far.
#[derive(Default)]
pub(crate) struct Asked {
    /// Questions about many runs: which, and of which there was news.
    pub(crate) tails: Vec<(Vec<RunId>, Vec<RunId>)>,
    /// Questions about one run.
    pub(crate) entries: usize,
    /// Questions of any kind that were not answered.
    pub(crate) failures: usize,
}

/// Hands every question on, and notes it.
pub(crate) struct Probe {
    log: Arc<dyn Log>,
    asked: watch::Sender<Asked>,
}

impl Probe {
    pub(crate) fn new(log: Arc<dyn Log>) -> Arc<Self> {
        let asked = watch::Sender::new(Asked::default());
        Arc::new(Self { log, asked })
    }

    /// Waits until what has been asked is like this.
    pub(crate) async fn until(&self, condition: impl FnMut(&Asked) -> bool) {
        let mut asked = self.asked.subscribe();
        tokio::time::timeout(Duration::from_secs(30), asked.wait_for(condition))
            .await
            .expect("it was never asked")
            .unwrap();
    }

    /// Looks at what has been asked.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Asked) -> T) -> T {
        look(&self.asked.borrow())
    }

    fn note<T>(&self, answer: &Result<T, LedgerError>) {
        if answer.is_err() {
            self.asked.send_modify(|asked| asked.failures += 1);
        }
    }
}

#[async_trait]
impl Log for Probe {
    async fn entries(&self, run: RunId, after: Cursor, limit: u32) -> Result<Vec<LogEntry>, LedgerError> {
        self.asked.send_modify(|asked| asked.entries += 1);
        let answer = self.log.entries(run, after, limit).await;
        self.note(&answer);
        answer
    }

    async fn tail(
        &self,
        watched: &[(RunId, Cursor)],
        limit: u32,
    ) -> Result<Vec<(RunId, LogEntry)>, LedgerError> {
        let answer = self.log.tail(watched, limit).await;
        self.note(&answer);
        if let Ok(news) = &answer {
            let runs = watched.iter().map(|(run, _)| *run).collect();
            let with_news = news.iter().map(|(run, _)| *run).collect();
            self.asked
                .send_modify(|asked| asked.tails.push((runs, with_news)));
        }
        answer
    }
}
