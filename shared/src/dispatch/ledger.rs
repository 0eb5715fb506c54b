//! Dispatch straight from the ledger: the embedded default, and the way to run on a database alone. What was offered in
//! this very process is proposed from memory, as long as that is known to be all there is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::known::Known;
use super::{Dispatch, Hint, Offer, Propose, Rotation};
use crate::domain::{Class, RunId, TenantId};
use crate::ledger::{Backlog, LedgerError};

/// How long a worker that found nothing waits before it looks again, unless it is woken: the first time, and at most.
/// Other processes cannot wake it, and a run's `not_before` passes without a sound. Where there was work a moment ago
/// there may soon be more, so the pause grows from look to look.
const FIRST_POLL: Duration = Duration::from_millis(10);
const LAST_POLL: Duration = Duration::from_millis(100);
/// How long after a look at the queue proposals are made from memory: while there is something to propose, and while
/// there is not. Shorter than the pauses between the polls of who waits for what others queue.
const LOOK: Duration = Duration::from_millis(100);
const IDLE_LOOK: Duration = Duration::from_millis(5);

/// Where the scheduler stands: which class is next, and which tenant was served last in each.
#[derive(Default)]
struct Turn {
    rotation: Rotation,
    last_tenant: [Option<TenantId>; Class::ALL.len()],
    /// When the ledger's queue was last read.
    looked: Option<Instant>,
}

/// Ready runs of each class, in the order of [`Backlog::ready`].
type Queues = [VecDeque<Hint>; Class::ALL.len()];

/// Reads the queue from the ledger.
pub struct LedgerDispatch {
    backlog: Arc<dyn Backlog>,
    turn: Mutex<Turn>,
    known: std::sync::Mutex<Known>,
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
            known: std::sync::Mutex::default(),
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

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every critical section leaves it consistent enough: what it loses, the ledger has.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is to propose as far as this process knows; none when the ledger is to be asked.
    fn remembered(&self, turn: &Turn, limit: u32) -> Option<Queues> {
        let mut known = self.known();
        let (is_empty, is_complete) = known.state();
        let fresh = if is_empty { IDLE_LOOK } else { LOOK };
        if !is_complete || turn.looked.is_none_or(|looked| looked.elapsed() > fresh) {
            return None;
        }
        Some(Class::ALL.map(|class| {
            let after = turn.last_tenant[class as usize].as_ref();
            known.ready(class, after, limit as usize)
        }))
    }

    async fn look(
        &self,
        turn: &mut Turn,
        limit: u32,
        tenant_limit: Option<u32>,
    ) -> Result<Queues, LedgerError> {
        let mut queues = Queues::default();
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
        turn.looked = Some(Instant::now());
        Ok(queues)
    }
}

impl Turn {
    /// Up to `limit` runs of these, classes by weight.
    fn pick(&mut self, mut queues: Queues, limit: u32) -> Vec<Hint> {
        let mut picked = Vec::new();
        while picked.len() < limit as usize {
            let Some(class) = self.rotation.next(|class| !queues[class as usize].is_empty()) else {
                break;
            };
            let Some(hint) = queues[class as usize].pop_front() else {
                break;
            };
            self.last_tenant[class as usize] = Some(hint.tenant.clone());
            picked.push(hint);
        }
        picked
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Offer for LedgerDispatch {
    async fn offer(&self, hints: &[Hint]) {
        self.known().offer(hints);
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
        // How many of a tenant's runs are running is the ledger's to say.
        let remembered = match tenant_limit {
            None => self.remembered(&turn, limit),
            Some(_) => None,
        };
        let proposed = match remembered {
            Some(queues) => {
                let proposed = turn.pick(queues, limit);
                self.known().propose(&proposed);
                proposed
            }
            None => {
                let before = self.known().latest();
                let queues = self.look(&mut turn, limit, tenant_limit).await?;
                // A limit hides what is queued; nobody proposes from memory under one.
                if tenant_limit.is_none() && limit > 0 {
                    self.known().look(&queues, before);
                }
                turn.pick(queues, limit)
            }
        };
        if !proposed.is_empty() {
            self.poll.store(as_millis(FIRST_POLL), Ordering::Relaxed);
        }
        Ok(proposed)
    }

    async fn conclude(&self, proposed: &[Hint], granted: &[RunId], _tenant_limit: Option<u32>) {
        self.known().conclude(proposed, granted);
    }

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
