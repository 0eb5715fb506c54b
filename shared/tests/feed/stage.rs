//! Runs that somebody watches, and what is committed to their logs.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::{Cursor, LogEntry, RunId, WorkerId};
use shared::feed::{Commit, Feed, News, Subscription, TailFeed};
use shared::ledger::{Claimed, Then, Write, WriteOutcome};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, delta, new_run};
use crate::redis;

/// A feed, and where the commits come from that it carries.
pub(crate) struct Stage<'a> {
    pub(crate) feed: Feed,
    ledger: Option<(&'a Fixture, WorkerId)>,
    /// The process that watches, where it is another than the one that commits.
    pub(crate) watching: Option<&'a redis::Side>,
}

/// A running run. Its log has two entries; the test adds more.
pub(crate) struct Run {
    pub(crate) id: RunId,
    /// The latest entry of its log.
    pub(crate) last: Cursor,
    claimed: Option<Claimed>,
}

impl<'a> Stage<'a> {
    /// The local feed, which asks no ledger: what is published is made up.
    pub(crate) fn local() -> Self {
        Self {
            feed: Feed::local(),
            ledger: None,
            watching: None,
        }
    }

    /// The tail of a ledger, following it while the test runs.
    pub(crate) async fn tail(fixture: &Fixture, test: impl AsyncFnOnce(&Stage<'_>)) {
        let tail = TailFeed::new(fixture.log.clone());
        let stage = Stage {
            feed: tail.feed(),
            ledger: Some((fixture, fixture.worker().await)),
            watching: None,
        };
        while_following(&tail, test(&stage)).await;
    }

    /// The feed over Redis, between a process that commits and one that watches.
    pub(crate) async fn redis(fixture: &Fixture, test: impl AsyncFnOnce(&Stage<'_>)) {
        let config = redis::prefixed();
        let worker = redis::Side::open(&config, fixture.log.clone()).await;
        let api = redis::Side::open(&config, fixture.log.clone()).await;
        let stage = Stage {
            feed: Feed {
                publish: worker.feed.feed().publish,
                subscribe: api.feed.feed().subscribe,
            },
            ledger: Some((fixture, fixture.worker().await)),
            watching: Some(&api),
        };
        test(&stage).await;
        worker.close().await;
        api.close().await;
    }

    /// A running run, watched by nobody.
    pub(crate) async fn run(&self) -> Run {
        let claimed = match self.ledger {
            Some((fixture, worker)) => {
                let run = fixture.accept(new_run("acme")).await;
                Some(fixture.claim(worker, run).await)
            }
            None => None,
        };
        Run {
            id: claimed.as_ref().map_or_else(RunId::new, |claimed| claimed.id),
            last: Cursor::new(1, 1),
            claimed,
        }
    }

    /// Commits these pieces of output together and publishes them, as the journal does.
    pub(crate) async fn commit(&self, run: &mut Run, texts: &[&str]) -> Vec<LogEntry> {
        let seqs = run.last.seq + 1..;
        let entries: Vec<LogEntry> = texts
            .iter()
            .zip(seqs)
            .map(|(text, seq)| delta(1, seq, text))
            .collect();
        run.last = entries.last().expect("something to commit").cursor;
        if let (Some((fixture, worker)), Some(claimed)) = (self.ledger, &run.claimed) {
            let write = Write {
                run: run.id,
                epoch: claimed.epoch,
                entries: entries.clone(),
                usage: Vec::new(),
                then: Then::Continue,
            };
            assert_eq!(fixture.append(worker, write).await, WriteOutcome::Committed);
        }
        let commit = Commit {
            run: run.id,
            entries: entries.clone().into(),
        };
        self.feed.publish.publish(vec![commit]).await;
        entries
    }

    /// Subscribes as who has read the whole log.
    pub(crate) async fn subscribe(&self, run: &Run) -> Subscription {
        self.feed.subscribe.subscribe(run.id, run.last).await
    }
}

/// Lets a tail follow its ledger while something is done, and sees it end.
pub(crate) async fn while_following<T>(tail: &Arc<TailFeed>, work: impl Future<Output = T>) -> T {
    let shutdown = CancellationToken::new();
    let following = tokio::spawn({
        let (tail, shutdown) = (Arc::clone(tail), shutdown.clone());
        async move { tail.run(shutdown).await }
    });
    let done = work.await;
    shutdown.cancel();
    following.await.unwrap();
    done
}

/// The next news, which must come.
pub(crate) async fn next(subscription: &mut Subscription) -> News {
    tokio::time::timeout(Duration::from_secs(30), subscription.recv())
        .await
        .expect("news that never came")
}

/// Every entry up to this one, as it came. Being told to look is not expected.
pub(crate) async fn hear_until(subscription: &mut Subscription, last: Cursor) -> Vec<LogEntry> {
    let mut heard: Vec<LogEntry> = Vec::new();
    while heard.last().is_none_or(|entry| entry.cursor < last) {
        match next(subscription).await {
            News::Entries(entries) => heard.extend(entries.iter().cloned()),
            News::Look => panic!("told to look after {:?}", heard.last()),
        }
    }
    heard
}
