//! A queue, who fills it, and the worker processes that empty it.

use std::collections::HashMap;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use redis::FromRedisValue;
use shared::dispatch::{Dispatch, Hint, LedgerDispatch, RedisDispatch};
use shared::domain::{RunId, WorkerId};
use shared::ledger::{AcceptOutcome, Claimed, NewRun};
use shared::redis_link::RedisLink;

use crate::fixture::{Fixture, success};
use crate::redis_server::Line;

/// A ledger with a dispatch on top.
pub(crate) struct Stage<'a> {
    fixture: &'a Fixture,
    line: Option<Line>,
    /// The side of who accepts: a process of its own, unless there is only one.
    api: Dispatch,
    one_process: bool,
}

impl Deref for Stage<'_> {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        self.fixture
    }
}

fn open(fixture: &Fixture, line: Option<&Line>) -> Dispatch {
    match line {
        None => LedgerDispatch::dispatch(fixture.backlog.clone()),
        Some(line) => RedisDispatch::dispatch(Arc::clone(&line.link), fixture.backlog.clone()),
    }
}

impl<'a> Stage<'a> {
    /// Dispatch straight from the ledger.
    pub(crate) async fn ledger(fixture: &'a Fixture, test: impl AsyncFnOnce(&Stage<'_>)) {
        test(&Self {
            fixture,
            line: None,
            api: open(fixture, None),
            one_process: false,
        })
        .await;
    }

    /// The same with one dispatch for who accepts and all who claim.
    pub(crate) async fn inside(fixture: &'a Fixture, test: impl AsyncFnOnce(&Stage<'_>)) {
        let stage = Self {
            fixture,
            line: None,
            api: open(fixture, None),
            one_process: true,
        };
        // Nothing is remembered before somebody has looked.
        assert_eq!(stage.api.propose.propose(1, None).await.unwrap(), []);
        test(&stage).await;
    }

    /// Dispatch through Redis, with a prefix of its own, which goes with the test whatever happened.
    pub(crate) async fn redis(fixture: &'a Fixture, test: impl AsyncFnOnce(&Stage<'_>)) {
        Self::on(fixture, Line::shared().await, test).await;
    }

    /// The same over this line.
    pub(crate) async fn on(fixture: &'a Fixture, line: Line, test: impl AsyncFnOnce(&Stage<'_>)) {
        let stage = Self {
            fixture,
            api: open(fixture, Some(&line)),
            line: Some(line),
            one_process: false,
        };
        let played = async {
            stage.rebuild_nothing().await;
            test(&stage).await;
            stage.line().check().await;
        };
        let outcome = AssertUnwindSafe(played).catch_unwind().await;
        stage.line().clear().await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    /// The line to Redis.
    pub(crate) fn line(&self) -> &Line {
        self.line.as_ref().expect("this dispatch goes through Redis")
    }

    pub(crate) fn link(&self) -> &Arc<RedisLink> {
        &self.line().link
    }

    /// A command about one of the dispatch's keys, its first argument.
    pub(crate) async fn redis_says<T: FromRedisValue>(&self, name: &str, key: &str, rest: &[&[u8]]) -> T {
        let mut command = redis::cmd(name);
        command.arg(self.link().key(&format!("{{d0}}:{key}"))).arg(rest);
        self.link().query(&command).await.unwrap()
    }

    /// What the duty does with an empty queue and a new Redis.
    async fn rebuild_nothing(&self) {
        let rebuild = self.api.rebuild.as_ref().unwrap();
        let id = rebuild.begin().await.unwrap();
        assert!(rebuild.complete(&id).await.unwrap());
    }

    /// Accepts runs and offers them, as the API does.
    pub(crate) async fn submit(&self, runs: &[NewRun]) -> Vec<RunId> {
        let outcomes = self.submit.accept(runs).await.unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, AcceptOutcome::Accepted { .. }))
        );
        self.offer(runs).await;
        runs.iter().map(|run| run.id).collect()
    }

    /// Offers runs, whether they are there or not.
    pub(crate) async fn offer(&self, runs: &[NewRun]) {
        self.offer_in(runs, Duration::ZERO).await;
    }

    /// Offers runs that are not to be claimed before so long.
    pub(crate) async fn offer_in(&self, runs: &[NewRun], delay: Duration) {
        let hints: Vec<Hint> = runs
            .iter()
            .map(|run| Hint {
                run: run.id,
                epoch: 0,
                tenant: run.tenant.clone(),
                class: run.class,
                delay,
            })
            .collect();
        self.api.offer.offer(&hints).await;
    }

    /// The dispatch of the API's process.
    pub(crate) fn api(&self) -> &Dispatch {
        &self.api
    }

    /// A dispatch as another process opens it, if there may be one.
    pub(crate) fn dispatch(&self) -> Dispatch {
        if self.one_process {
            return self.api.clone();
        }
        open(self.fixture, self.line.as_ref())
    }

    /// A worker process with so many slots.
    pub(crate) async fn process(&self, slots: usize) -> Process<'_> {
        Process {
            fixture: self.fixture,
            dispatch: self.dispatch(),
            worker: self.worker().await,
            slots,
            held: Vec::new(),
            limited: false,
        }
    }
}

/// A worker process, reduced to what dispatch sees of it.
pub(crate) struct Process<'a> {
    fixture: &'a Fixture,
    pub(crate) dispatch: Dispatch,
    pub(crate) worker: WorkerId,
    slots: usize,
    held: Vec<Claimed>,
    /// Whether its last claim had a limit per tenant.
    limited: bool,
}

impl Process<'_> {
    /// What is proposed, without a limit per tenant.
    pub(crate) async fn propose(&self, limit: usize) -> Vec<Hint> {
        self.propose_within(limit, None).await
    }

    pub(crate) async fn propose_within(&self, limit: usize, tenant_limit: Option<u32>) -> Vec<Hint> {
        let limit = u32::try_from(limit).unwrap();
        self.dispatch.propose.propose(limit, tenant_limit).await.unwrap()
    }

    /// What is proposed, of which nothing is claimed.
    pub(crate) async fn look(&self, limit: usize) -> Vec<Hint> {
        self.look_within(limit, None).await
    }

    pub(crate) async fn look_within(&self, limit: usize, tenant_limit: Option<u32>) -> Vec<Hint> {
        let hints = self.propose_within(limit, tenant_limit).await;
        self.dispatch.propose.conclude(&hints, &[], tenant_limit).await;
        hints
    }

    /// As much as its free slots take.
    pub(crate) async fn propose_for_free_slots(&self) -> Vec<Hint> {
        self.propose(self.slots - self.held.len()).await
    }

    /// Claims what was proposed; what was granted, in the order it was proposed.
    pub(crate) async fn claim(&mut self, hints: &[Hint]) -> Vec<Hint> {
        self.claim_within(hints, None).await
    }

    pub(crate) async fn claim_within(&mut self, hints: &[Hint], tenant_limit: Option<u32>) -> Vec<Hint> {
        let runs: Vec<RunId> = hints.iter().map(|hint| hint.run).collect();
        let claimed = self
            .fixture
            .execute
            .claim(self.worker, &runs, tenant_limit)
            .await
            .unwrap();
        let granted: Vec<RunId> = claimed.iter().map(|claimed| claimed.id).collect();
        self.dispatch
            .propose
            .conclude(hints, &granted, tenant_limit)
            .await;
        self.limited = tenant_limit.is_some();
        let epochs: HashMap<RunId, u32> = claimed
            .iter()
            .map(|claimed| (claimed.id, claimed.epoch))
            .collect();
        self.held.extend(claimed);
        let granted = hints.iter().filter(|hint| epochs.contains_key(&hint.run));
        granted
            .inspect(|hint| {
                assert_eq!(
                    epochs[&hint.run],
                    hint.epoch + 1,
                    "the hint names the queued epoch"
                );
            })
            .cloned()
            .collect()
    }

    /// The run it has held longest ends.
    pub(crate) async fn finish_one(&mut self) {
        if !self.held.is_empty() {
            let claimed = self.held.remove(0);
            self.fixture.append(self.worker, success(&claimed, 2)).await;
            if self.limited {
                self.dispatch.propose.freed(&claimed.tenant);
            }
        }
    }

    /// Everything it holds ends.
    pub(crate) async fn finish_all(&mut self) {
        while !self.held.is_empty() {
            self.finish_one().await;
        }
    }
}
