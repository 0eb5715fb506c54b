//! The claim loop: capacity first, then proposals, then claims. A permit is owned by the run's task and comes back with
//! it, however it ends.

use std::sync::Arc;
use std::time::Duration;

use shared::dispatch::Propose;
use shared::domain::{RunId, WorkerId};
use shared::feed::Commit;
use shared::ledger::{Claimed, Ledger, LedgerError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::announce::Announcer;
use crate::back_off::{BackOff, jittered};
use crate::pipeline::Pipeline;
use crate::running::Running;

/// How long to step aside when others claimed everything that was proposed.
const CONTENDED: Duration = Duration::from_millis(5);
/// How often what the ledger believes to be running here is compared with what is.
const RECONCILE: Duration = Duration::from_secs(10);

/// Claims runs for one incarnation and starts them.
pub(crate) struct Pool {
    pub(crate) worker: WorkerId,
    pub(crate) ledger: Ledger,
    pub(crate) propose: Arc<dyn Propose>,
    pub(crate) announcer: Announcer,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) running: Arc<Running>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
}

impl Pool {
    /// Waits for capacity. Cancel-safe; [`Pool::turn`] is not: between a claim and its start a run would be held by nobody,
    /// so a turn is always carried through.
    pub(crate) async fn ready(&self) -> Option<OwnedSemaphorePermit> {
        // Closed only with the worker.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// One round with at least this permit. Returns how long to wait before the next one.
    pub(crate) async fn turn(&self, first: OwnedSemaphorePermit, state: &mut ClaimState) -> Next {
        match self.try_turn(first, state).await {
            Ok(next) => {
                state.back_off.reset();
                next
            }
            Err(error) => {
                tracing::warn!(%error, "cannot claim; trying again");
                // A claim may have been granted although it was not answered.
                state.reconcile_at = Instant::now();
                Next::Pause(state.back_off.next())
            }
        }
    }

    async fn try_turn(
        &self,
        first: OwnedSemaphorePermit,
        state: &mut ClaimState,
    ) -> Result<Next, LedgerError> {
        if Instant::now() >= state.reconcile_at {
            self.reconcile().await?;
            state.reconcile_at = Instant::now() + RECONCILE;
        }
        let mut permits = vec![first];
        let more = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        let limit = more.saturating_add(1);
        let tenant_limit = self.pipeline.tools.config.tenant_limit;
        let hints = self.propose.propose(limit, tenant_limit).await?;
        if hints.is_empty() {
            return Ok(Next::Wait);
        }
        let ids: Vec<RunId> = hints.iter().take(limit as usize).map(|hint| hint.run).collect();
        while permits.len() < ids.len() {
            match Arc::clone(&self.permits).try_acquire_owned() {
                Ok(permit) => permits.push(permit),
                Err(_) => break,
            }
        }
        let ids = ids.get(..permits.len()).unwrap_or(&ids);
        let claimed = self.ledger.execute.claim(self.worker, ids, tenant_limit).await?;
        let granted: Vec<RunId> = claimed.iter().map(|run| run.id).collect();
        self.start(claimed, permits).await;
        // All that was proposed: what there was no permit for was not granted either.
        self.propose.conclude(&hints, &granted, tenant_limit).await;
        Ok(if granted.is_empty() {
            Next::Pause(jittered(CONTENDED, 0.2..2.0))
        } else {
            Next::Again
        })
    }

    async fn start(&self, claimed: Vec<Claimed>, permits: Vec<OwnedSemaphorePermit>) {
        let mut commits = Vec::with_capacity(claimed.len());
        let mut starting = Vec::with_capacity(claimed.len());
        for run in claimed {
            commits.push(Commit {
                run: run.id,
                entries: [run.started.clone()].into(),
            });
            let entered = self.running.enter(run.held());
            starting.push((run, entered));
        }
        // Published before anything the run itself appends.
        self.announcer.publish.publish(commits).await;
        let limited = self.pipeline.tools.config.tenant_limit.is_some();
        for ((run, entered), permit) in starting.into_iter().zip(permits) {
            let pipeline = Arc::clone(&self.pipeline);
            let propose = Arc::clone(&self.propose);
            let tenant = limited.then(|| run.tenant.clone());
            self.tasks.spawn(async move {
                pipeline.run(run, entered).await;
                if let Some(tenant) = tenant {
                    propose.freed(&tenant);
                }
                drop(permit);
            });
        }
    }

    /// Gives back what the ledger believes to be running here and is not: claims that were granted but not answered.
    async fn reconcile(&self) -> Result<(), LedgerError> {
        for held in self.ledger.execute.held(self.worker).await? {
            if self.running.has(held) {
                continue;
            }
            if let Some(closed) = self
                .ledger
                .upkeep
                .release(self.worker, held.run, held.epoch)
                .await?
            {
                tracing::warn!(run = %held.run, "gave back a run that was held here without being executed");
                self.announcer.closed(vec![closed]).await;
            }
        }
        Ok(())
    }
}

/// What the claim loop remembers between rounds.
pub(crate) struct ClaimState {
    back_off: BackOff,
    reconcile_at: Instant,
}

impl ClaimState {
    /// At the beginning.
    pub(crate) fn new() -> Self {
        Self {
            back_off: BackOff::for_ledger(),
            reconcile_at: Instant::now() + RECONCILE,
        }
    }
}

/// What to do before the next round.
pub(crate) enum Next {
    /// Nothing: there may be more.
    Again,
    /// Wait until dispatch says that there may be something.
    Wait,
    /// Wait for so long.
    Pause(Duration),
}
