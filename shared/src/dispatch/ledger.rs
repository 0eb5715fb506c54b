//! Dispatch straight from the ledger: the embedded default, and the way to run on a database alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify};

use super::{Dispatch, Hint, Offer, Propose, Rotation};
use crate::domain::{Class, RunId, TenantId};
use crate::ledger::{Backlog, LedgerError};

/// How long a worker that found nothing waits before it looks again, unless it is woken: the first time, and at most.
/// Other processes cannot wake it, and a run's `not_before` passes without a sound. Where there was work a moment ago
/// there may soon be more, so the pause grows from look to look.
const FIRST_POLL: Duration = Duration::from_millis(10);
const LAST_POLL: Duration = Duration::from_millis(100);

/// Where the scheduler stands: which class is next, and which tenant was served last in each.
#[derive(Default)]
struct Turn {
    rotation: Rotation,
    last_tenant: [Option<TenantId>; Class::ALL.len()],
}

/// Reads the queue from the ledger.
pub struct LedgerDispatch {
    backlog: Arc<dyn Backlog>,
    turn: Mutex<Turn>,
    offered: Notify,
    cancelled: Notify,
    /// The next pause, in milliseconds.
    poll: AtomicU64,
}

impl LedgerDispatch {
    /// Both sides over one ledger. Offers wake the proposing side only inside this process.
    #[must_use]
    pub fn dispatch(backlog: Arc<dyn Backlog>) -> Dispatch {
        let dispatch = Arc::new(Self {
            backlog,
            turn: Mutex::default(),
            offered: Notify::new(),
            cancelled: Notify::new(),
            poll: AtomicU64::new(as_millis(FIRST_POLL)),
        });
        Dispatch {
            offer: dispatch.clone(),
            propose: dispatch,
            rebuild: None,
        }
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Offer for LedgerDispatch {
    async fn offer(&self, _hints: &[Hint]) {
        self.offered.notify_one();
    }

    async fn cancel_requested(&self, _run: RunId) {
        self.cancelled.notify_one();
    }
}

#[async_trait]
impl Propose for LedgerDispatch {
    async fn propose(&self, limit: u32, tenant_limit: Option<u32>) -> Result<Vec<Hint>, LedgerError> {
        let mut turn = self.turn.lock().await;
        let mut queues: [VecDeque<Hint>; Class::ALL.len()] = Default::default();
        for (index, class) in Class::ALL.into_iter().enumerate() {
            let ready = self
                .backlog
                .ready(class, turn.last_tenant[index].as_ref(), limit, tenant_limit)
                .await?;
            let hint = |ready: crate::ledger::ReadyRun| Hint {
                run: ready.run,
                epoch: ready.epoch,
                tenant: ready.tenant,
                class,
                delay: Duration::ZERO,
            };
            queues[index] = ready.into_iter().map(hint).collect();
        }
        let mut proposed = Vec::new();
        while proposed.len() < limit as usize {
            let Some(class) = turn.rotation.next(|class| !queues[class as usize].is_empty()) else {
                break;
            };
            let Some(hint) = queues[class as usize].pop_front() else {
                break;
            };
            turn.last_tenant[class as usize] = Some(hint.tenant.clone());
            proposed.push(hint);
        }
        if !proposed.is_empty() {
            self.poll.store(as_millis(FIRST_POLL), Ordering::Relaxed);
        }
        Ok(proposed)
    }

    /// Nothing to do: what was not granted is read from the ledger again.
    async fn conclude(&self, _proposed: &[Hint], _granted: &[RunId], _tenant_limit: Option<u32>) {}

    /// Nothing to do: the ledger counts.
    fn freed(&self, _tenant: &TenantId) {}

    async fn ready(&self) {
        let pause = Duration::from_millis(self.poll.load(Ordering::Relaxed));
        let next = (pause * 2).min(LAST_POLL);
        self.poll.store(as_millis(next), Ordering::Relaxed);
        // A little early or late each time, so that a fleet does not ask in step.
        let pause = pause.mul_f64(rand::random_range(0.75..1.25));
        let _ = tokio::time::timeout(pause, self.offered.notified()).await;
    }

    async fn cancel_hinted(&self) {
        self.cancelled.notified().await;
    }
}
