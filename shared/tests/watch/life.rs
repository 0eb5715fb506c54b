//! A run's life as the log tells it: claimed, handed back, crashed, ended; each commit published as soon as it is one.

use shared::domain::{Cursor, LogEntry, RequeueReason, RunId, Timestamp, WorkerId};
use shared::feed::Commit;
use shared::ledger::{Claimed, NewRun, Then, Write, WriteOutcome};

use crate::fixture::{delta, new_run, requeue, success};
use crate::stage::Stage;

/// A run that a test leads through its life.
pub(crate) struct Life<'a> {
    stage: &'a Stage<'a>,
    pub(crate) run: RunId,
    /// The latest entry of its log.
    pub(crate) last: Cursor,
    holder: Option<(WorkerId, Claimed)>,
}

impl<'a> Life<'a> {
    /// A queued run.
    pub(crate) async fn begin(stage: &'a Stage<'a>) -> Self {
        Self::of(stage, new_run("acme")).await
    }

    /// This run, queued.
    pub(crate) async fn of(stage: &'a Stage<'a>, run: NewRun) -> Self {
        Self {
            stage,
            run: stage.accept(run).await,
            last: Cursor::QUEUED,
            holder: None,
        }
    }

    /// A running one.
    pub(crate) async fn running(stage: &'a Stage<'a>) -> Self {
        let mut life = Self::begin(stage).await;
        life.claim().await;
        life
    }

    async fn publish(&mut self, entries: Vec<LogEntry>) {
        self.last = entries.last().expect("something happened").cursor;
        let commit = Commit {
            run: self.run,
            entries: entries.into(),
        };
        self.stage.publish.publish(vec![commit]).await;
    }

    pub(crate) async fn claim(&mut self) {
        let worker = self.stage.worker().await;
        let claimed = self.stage.claim(worker, self.run).await;
        let started = claimed.started.clone();
        self.holder = Some((worker, claimed));
        self.publish(vec![started]).await;
    }

    fn holder(&self) -> (WorkerId, &Claimed) {
        let (worker, claimed) = self.holder.as_ref().expect("the run is running");
        (*worker, claimed)
    }

    async fn commit(&mut self, write: Write) {
        let (worker, _) = self.holder();
        let entries = write.entries.clone();
        assert_eq!(self.stage.append(worker, write).await, WriteOutcome::Committed);
        self.publish(entries).await;
    }

    /// Output, all in one commit.
    pub(crate) async fn write(&mut self, texts: &[&str]) {
        let (epoch, next) = (self.last.epoch, self.last.seq + 1);
        let entries = texts
            .iter()
            .zip(next..)
            .map(|(text, seq)| delta(epoch, seq, text))
            .collect();
        self.commit(Write {
            run: self.run,
            epoch,
            entries,
            usage: Vec::new(),
            then: Then::Continue,
        })
        .await;
    }

    /// Its worker gives it back: an entry in the worker's epoch; the queued run's own epoch has none.
    pub(crate) async fn give_back(&mut self) {
        let (_, claimed) = self.holder();
        let at_once = Timestamp::from_millis(0);
        let write = requeue(claimed, self.last.seq + 1, RequeueReason::Released, at_once);
        self.commit(write).await;
        self.holder = None;
    }

    /// Its worker dies: an entry in an epoch of its own.
    pub(crate) async fn crash(&mut self) {
        let (worker, _) = self.holder();
        let closed = self.stage.upkeep.reap(worker, 1_000, false).await.unwrap();
        self.holder = None;
        self.publish(closed.into_iter().map(|closed| closed.entry).collect())
            .await;
    }

    pub(crate) async fn succeed(&mut self) {
        let (_, claimed) = self.holder();
        let write = success(claimed, self.last.seq + 1);
        self.commit(write).await;
        self.holder = None;
    }

    /// A whole life with two rewinds and a hole among its epochs: 0, 1, 3, 4, 5.
    pub(crate) async fn whole(stage: &'a Stage<'a>) -> Self {
        let mut life = Self::running(stage).await;
        life.write(&["a", "b"]).await;
        life.write(&["c"]).await;
        life.give_back().await;
        life.claim().await;
        life.write(&["d"; 11]).await;
        life.crash().await;
        life.claim().await;
        life.write(&["e"]).await;
        life.succeed().await;
        life
    }
}
