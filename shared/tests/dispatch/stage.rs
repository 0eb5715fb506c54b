//! A queue, who fills it, and the worker processes that empty it.

use std::collections::HashMap;
use std::ops::Deref;

use shared::dispatch::{Dispatch, Hint, LedgerDispatch};
use shared::domain::{RunId, WorkerId};
use shared::ledger::{AcceptOutcome, Claimed, NewRun};

use crate::fixture::{Fixture, success};

/// A ledger with a dispatch on top.
pub(crate) struct Stage<'a> {
    fixture: &'a Fixture,
    open: fn(&Fixture) -> Dispatch,
    /// The side of who accepts: a process of its own.
    api: Dispatch,
}

impl Deref for Stage<'_> {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        self.fixture
    }
}

impl<'a> Stage<'a> {
    /// Dispatch straight from the ledger.
    pub(crate) fn ledger(fixture: &'a Fixture) -> Self {
        let open: fn(&Fixture) -> Dispatch = |fixture| LedgerDispatch::dispatch(fixture.backlog.clone());
        Self {
            fixture,
            open,
            api: open(fixture),
        }
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
        let hints: Vec<Hint> = runs
            .iter()
            .map(|run| Hint {
                run: run.id,
                epoch: 0,
                tenant: run.tenant.clone(),
                class: run.class,
            })
            .collect();
        self.api.offer.offer(&hints).await;
    }

    /// A dispatch as another process opens it.
    pub(crate) fn dispatch(&self) -> Dispatch {
        (self.open)(self.fixture)
    }

    /// A worker process with so many slots.
    pub(crate) async fn process(&self, slots: usize) -> Process<'_> {
        Process {
            fixture: self.fixture,
            dispatch: self.dispatch(),
            worker: self.worker().await,
            slots,
            held: Vec::new(),
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
        }
    }

    /// Everything it holds ends.
    pub(crate) async fn finish_all(&mut self) {
        while !self.held.is_empty() {
            self.finish_one().await;
        }
    }
}
