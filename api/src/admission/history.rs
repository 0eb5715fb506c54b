//! How long answers have been, by task type: what is known of a request that does not say how long its answer may be.
//! The ledger is asked once a minute, in the background; a submit only looks at what was heard last.

use std::collections::HashMap;
use std::time::Duration;

use shared::ledger::Reader;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::validate::MAX_TOKENS;

/// From one look at the ledger to the next.
const EVERY: Duration = Duration::from_secs(60);
/// Of fewer answers a mean says little.
const ENOUGH: u64 = 20;

/// The lengths as they were last heard of.
pub(super) struct History {
    known: watch::Receiver<HashMap<String, u32>>,
}

impl History {
    /// Begins to look. Nothing is known until the first look has ended; the task ends when the history is dropped.
    pub(super) fn spawn(reader: Reader, tracker: &TaskTracker) -> Self {
        let (looking, history) = Looking::new(reader);
        tracker.spawn(looking.go_on());
        history
    }

    /// How many tokens the answer to a request of this task type is expected to have, where enough are known.
    pub(super) fn expected(&self, task_type: &str) -> Option<u32> {
        self.known.borrow().get(task_type).copied()
    }
}

/// The looking side.
struct Looking {
    reader: Reader,
    known: watch::Sender<HashMap<String, u32>>,
    /// Whether the last look failed: of several in a row the first is told.
    failed: bool,
}

impl Looking {
    fn new(reader: Reader) -> (Self, History) {
        let (sender, known) = watch::channel(HashMap::new());
        let looking = Self {
            reader,
            known: sender,
            failed: false,
        };
        (looking, History { known })
    }

    async fn go_on(mut self) {
        let nobody_asks = self.known.clone();
        let looks = async {
            loop {
                self.look().await;
                sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = nobody_asks.closed() => {}
            () = looks => {}
        }
    }

    /// Asks the ledger. When it does not answer, what was heard before stays.
    async fn look(&mut self) {
        match self.reader.answer_lengths().await {
            Ok(lengths) => {
                self.failed = false;
                let enough = lengths.into_iter().filter(|length| length.answers >= ENOUGH);
                let bounded = |tokens: u64| u32::try_from(tokens).unwrap_or(MAX_TOKENS).min(MAX_TOKENS);
                let known = enough.map(|length| (length.task_type, bounded(length.mean_tokens)));
                self.known.send_replace(known.collect());
            }
            Err(error) if self.failed => {
                tracing::debug!(%error, "the lengths of answers are still not known");
            }
            Err(error) => {
                self.failed = true;
                tracing::warn!(%error, "the lengths of answers are not known; estimates go by the last ones");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::answered::answered;
    use crate::stage::Stage;

    #[tokio::test]
    async fn a_mean_of_enough_answers_is_expected() {
        let stage = Stage::open().await;
        let (mut looking, history) = Looking::new(stage.ledger.reader.clone());
        answered(&stage.ledger, "summary", &[100; 19]).await;
        answered(&stage.ledger, "essay", &[u64::MAX; 20]).await;
        looking.look().await;
        assert_eq!(history.expected("summary"), None, "one too few");
        assert_eq!(history.expected("essay"), Some(MAX_TOKENS), "beyond belief");
        answered(&stage.ledger, "summary", &[300]).await;
        assert_eq!(history.expected("summary"), None, "nobody has looked since");
        looking.look().await;
        assert_eq!(history.expected("summary"), Some(110));
        assert_eq!(history.expected("chat"), None);
    }

    #[tokio::test]
    async fn what_was_heard_stays_while_the_ledger_is_away() {
        let stage = Stage::open().await;
        let (mut looking, history) = Looking::new(stage.ledger.reader.clone());
        answered(&stage.ledger, "summary", &[100; 20]).await;
        looking.look().await;
        let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
        let connection = stage.ledger.connection();
        let away = rename("mcp_usage", "elsewhere");
        connection.execute_unprepared(&away).await.unwrap();
        for _again in 0..2 {
            looking.look().await;
            assert!(looking.failed);
            assert_eq!(history.expected("summary"), Some(100));
        }
        let back = rename("elsewhere", "mcp_usage");
        connection.execute_unprepared(&back).await.unwrap();
        answered(&stage.ledger, "summary", &[200; 20]).await;
        looking.look().await;
        assert!(!looking.failed);
        assert_eq!(history.expected("summary"), Some(150));
    }

    #[tokio::test]
    async fn nobody_looks_once_nobody_asks() {
        let (stage, tracker) = (Stage::open().await, TaskTracker::new());
        answered(&stage.ledger, "summary", &[100; 20]).await;
        let mut history = History::spawn(stage.ledger.reader.clone(), &tracker);
        history.known.changed().await.unwrap();
        assert_eq!(history.expected("summary"), Some(100));
        drop(history);
        tracker.close();
        tracker.wait().await;
    }
}
