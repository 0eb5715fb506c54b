//! Fans commits out to the subscribers inside this process, in bounded memory: a subscriber that falls behind is told
//! to look at the ledger instead, and never holds up the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::domain::{Cursor, LogEntry, RunId};
use crate::redis_link::Membership;

/// Commits kept for a slow subscriber of one run.
const BACKLOG: usize = 64;
/// A commit heavier than this is not kept; subscribers are told to look.
pub(super) const MAX_KEPT_BYTES: usize = 64 * 1024;

/// What a subscriber hears.
#[derive(Debug, Clone)]
pub enum News {
    /// These entries were committed.
    Entries(Arc<[LogEntry]>),
    /// Something was committed that is not kept here: read the ledger.
    Look,
}

struct Topic {
    sender: broadcast::Sender<News>,
    /// The latest entry that went through here; where a tail goes on reading.
    position: Cursor,
}

/// Subscriptions by run.
#[derive(Default)]
pub(super) struct Hub {
    topics: Mutex<HashMap<RunId, Topic>>,
}

impl Hub {
    fn topics(&self) -> MutexGuard<'_, HashMap<RunId, Topic>> {
        // Every critical section leaves the map consistent, so a panic elsewhere does not spoil it.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe(self: &Arc<Self>, run: RunId, after: Cursor) -> Subscription {
        let mut topics = self.topics();
        let topic = topics.entry(run).or_insert_with(|| Topic {
            sender: broadcast::Sender::new(BACKLOG),
            position: after,
        });
        Subscription {
            receiver: topic.sender.subscribe(),
            _leave: Leave {
                hub: Arc::clone(self),
                run,
            },
            _membership: None,
        }
    }

    /// Tells the run's subscribers, if any, to read the ledger.
    pub(super) fn look(&self, run: RunId) {
        if let Some(topic) = self.topics().get(&run) {
            // An error means that the last subscriber is just leaving.
            let _ = topic.sender.send(News::Look);
        }
    }

    /// Hands entries to the run's subscribers, if any. What went through here before is left out: every subscriber of
    /// then has heard it, and who joined later has read the ledger since.
    pub(super) fn publish(&self, run: RunId, mut entries: Arc<[LogEntry]>) {
        let Some(last) = entries.last().map(|entry| entry.cursor) else {
            return;
        };
        let mut topics = self.topics();
        let Some(topic) = topics.get_mut(&run) else { return };
        let known = entries.partition_point(|entry| entry.cursor <= topic.position);
        if known == entries.len() {
            return;
        }
        if known > 0 {
            entries = entries[known..].into();
        }
        topic.position = last;
        let weight: usize = entries.iter().map(|entry| entry.data.len()).sum();
        let news = if weight > MAX_KEPT_BYTES {
            News::Look
        } else {
            News::Entries(entries)
        };
        // An error means that the last subscriber is just leaving.
        let _ = topic.sender.send(news);
    }

    /// Every watched run with the latest entry that went through here.
    pub(super) fn positions(&self) -> Vec<(RunId, Cursor)> {
        self.topics()
            .iter()
            .map(|(run, topic)| (*run, topic.position))
            .collect()
    }

    fn leave(&self, run: RunId) {
        let mut topics = self.topics();
        if topics
            .get(&run)
            .is_some_and(|topic| topic.sender.receiver_count() == 0)
        {
            topics.remove(&run);
        }
    }

    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        self.topics().len()
    }
}

struct Leave {
    hub: Arc<Hub>,
    run: RunId,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.hub.leave(self.run);
    }
}

/// News of one run. Dropping it unsubscribes.
pub struct Subscription {
    // Fields drop in order: the receiver is gone before `Leave` counts who is left.
    receiver: broadcast::Receiver<News>,
    _leave: Leave,
    /// The channel that brings the news into this process, where there is one.
    _membership: Option<Membership>,
}

impl Subscription {
    /// The same, staying in a channel for as long as it lives.
    pub(super) fn staying_in(self, membership: Membership) -> Self {
        Self {
            _membership: Some(membership),
            ..self
        }
    }

    /// The next news. Cancel-safe. Waits for ever when there are none.
    pub async fn recv(&mut self) -> News {
        match self.receiver.recv().await {
            Ok(news) => news,
            // Too slow, or (which cannot be, the topic outlives its subscribers) closed: the ledger knows.
            Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => News::Look,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventType, Timestamp};

    fn entries(seq: u32, data: &str) -> Arc<[LogEntry]> {
        Arc::new([LogEntry {
            cursor: Cursor::new(1, seq),
            kind: EventType::OutputDelta,
            at: Timestamp::from_millis(0),
            data: data.into(),
        }])
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_to_look_and_does_not_hold_up_another() {
        let hub = Arc::new(Hub::default());
        let run = RunId::new();
        let mut slow = hub.subscribe(run, Cursor::START);
        let mut quick = hub.subscribe(run, Cursor::START);
        for seq in 1..=200 {
            hub.publish(run, entries(seq, "{}"));
            assert!(matches!(quick.recv().await, News::Entries(e) if e[0].cursor.seq == seq));
        }
        assert!(matches!(slow.recv().await, News::Look));
        assert_eq!(hub.positions(), [(run, Cursor::new(1, 200))]);
    }

    #[tokio::test]
    async fn what_went_through_before_is_left_out() {
        let hub = Arc::new(Hub::default());
        let run = RunId::new();
        let mut subscription = hub.subscribe(run, Cursor::new(1, 1));
        let both: Arc<[LogEntry]> = [entries(1, "a"), entries(2, "b")].concat().into();
        hub.publish(run, entries(1, "a"));
        hub.publish(run, both.clone());
        hub.publish(run, both);
        hub.publish(run, entries(3, "c"));
        assert!(matches!(subscription.recv().await, News::Entries(e) if e[..] == entries(2, "b")[..]));
        assert!(matches!(subscription.recv().await, News::Entries(e) if e[..] == entries(3, "c")[..]));
    }

    #[tokio::test]
    async fn a_heavy_commit_is_not_kept() {
        let hub = Arc::new(Hub::default());
        let run = RunId::new();
        let mut subscription = hub.subscribe(run, Cursor::START);
        hub.publish(run, entries(1, &"x".repeat(MAX_KEPT_BYTES + 1)));
        assert!(matches!(subscription.recv().await, News::Look));
    }

    #[tokio::test]
    async fn nothing_is_kept_for_runs_nobody_watches() {
        let hub = Arc::new(Hub::default());
        let run = RunId::new();
        let first = hub.subscribe(run, Cursor::START);
        let second = hub.subscribe(run, Cursor::START);
        drop(first);
        assert_eq!(hub.watched(), 1);
        drop(second);
        assert_eq!(hub.watched(), 0);
        hub.publish(run, entries(1, "{}"));
        assert_eq!(hub.watched(), 0);
    }
}
