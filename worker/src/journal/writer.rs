//! The one task of an incarnation that commits: what cannot wait at once, the rest at the next tick.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::{LogEntry, RunId, WorkerId};
use shared::feed::{Commit, Publish};
use shared::ledger::{Execute, Held};
use shared::telemetry::vocabulary;
use tokio::time::Instant;

use super::buffer::{Due, Shared, Taken};
use super::commit::{Committer, Fate};
use super::{JournalError, Journals};
use crate::ledger_time::LedgerTime;

/// The shortest time output waits for company.
const MIN_WINDOW: Duration = Duration::from_millis(10);
/// The longest.
const MAX_WINDOW: Duration = Duration::from_millis(50);
/// The window is so many times as long as a commit takes: under load, commits are fewer and larger.
const WINDOW_PER_COMMIT: u32 = 4;

/// Tells the pool that a run is no longer this worker's.
pub(crate) type OnFenced = Box<dyn Fn(Held) + Send + Sync>;

/// Commits what all runs append, then publishes it.
pub(crate) struct Writer {
    buffers: Shared,
    committer: Committer,
    publish: Arc<dyn Publish>,
    on_fenced: OnFenced,
    time: LedgerTime,
    window: Duration,
}

impl Writer {
    /// A writer for one incarnation.
    pub(crate) fn new(
        journals: &Journals,
        ledger: Arc<dyn Execute>,
        publish: Arc<dyn Publish>,
        worker: WorkerId,
        time: LedgerTime,
        on_fenced: OnFenced,
    ) -> Self {
        Self {
            buffers: Arc::clone(&journals.buffers),
            committer: Committer { ledger, worker },
            publish,
            on_fenced,
            time,
            window: MIN_WINDOW,
        }
    }

    /// Writes for ever. Dropping it at any point is safe: what was not committed was not seen by anybody.
    pub(crate) async fn run(mut self) {
        // When what is patient has waited long enough.
        let mut tick: Option<Instant> = None;
        loop {
            let waiting = self.buffers.waiting();
            if !waiting.patient {
                tick = None;
            }
            let due = match (waiting.urgent, waiting.patient) {
                (false, false) => {
                    self.buffers.changed().await;
                    continue;
                }
                (true, false) => Due::Urgent,
                (urgent, true) => {
                    let tick = *tick.get_or_insert_with(|| Instant::now() + self.window);
                    if Instant::now() >= tick {
                        Due::Everything
                    } else if urgent {
                        Due::Urgent
                    } else {
                        // Something urgent may come before the tick.
                        let _ = tokio::time::timeout_at(tick, self.buffers.changed()).await;
                        continue;
                    }
                }
            };
            let began = Instant::now();
            self.commit(due).await;
            if due == Due::Everything {
                tick = None;
            }
            self.window = (began.elapsed() * WINDOW_PER_COMMIT).clamp(MIN_WINDOW, MAX_WINDOW);
        }
    }

    async fn commit(&self, due: Due) {
        let (mut writes, mut replies) = (Vec::new(), Vec::new());
        let mut permits = Vec::new();
        for Taken { write, reply, permit } in self.buffers.take(due, self.time.now()) {
            writes.push(write);
            replies.push(reply);
            permits.push(permit);
        }
        if writes.is_empty() {
            return;
        }
        let began = Instant::now();
        let fates = self.committer.commit(&writes).await;
        let entries: usize = writes.iter().map(|write| write.entries.len()).sum();
        metrics::histogram!(vocabulary::COMMIT_MS).record(began.elapsed().as_secs_f64() * 1e3);
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        metrics::histogram!(vocabulary::COMMIT_ENTRIES).record(entries as f64);

        let mut commits = Vec::with_capacity(writes.len());
        let mut answers = Vec::with_capacity(writes.len());
        for ((write, reply), fate) in writes.into_iter().zip(replies).zip(fates) {
            let held = write.held();
            let answer = match fate {
                Fate::Committed => {
                    commits.push(commit(write.run, write.entries));
                    Ok(())
                }
                Fate::Overtaken(end) => {
                    commits.push(commit(write.run, write.entries));
                    commits.push(commit(write.run, vec![end]));
                    Ok(())
                }
                Fate::Fenced => {
                    tracing::warn!(run = %write.run, epoch = write.epoch, "journal: the run is no longer ours");
                    self.buffers.lose(held);
                    (self.on_fenced)(held);
                    Err(JournalError::Fenced)
                }
                Fate::Refused => {
                    let first = write.entries.first().map_or(2, |entry| entry.cursor.seq);
                    self.buffers.refuse(held, first, write.usage);
                    Err(JournalError::Refused)
                }
            };
            answers.push((reply, answer));
        }
        self.publish.publish(commits).await;
        // After publishing, so that who is told that a run has ended finds watchers told as well.
        for (reply, answer) in answers {
            if let Some(reply) = reply {
                // An error means that the executor is gone.
                let _ = reply.send(answer);
            }
        }
    }
}

fn commit(run: RunId, entries: Vec<LogEntry>) -> Commit {
    Commit {
        run,
        entries: entries.into(),
    }
}
