//! Dispatch through Redis: hints in queues that the next one is taken from in constant time, and a word to one idle
//! process when there is something new. Nothing here is a truth. What Redis lost is found in the ledger, which is also
//! where everything is read from while Redis is away; so a failure costs latency and nothing else.
//!
//! An offer that got lost is found in three ways: a process that finds nothing asks the ledger as well, now and then; the
//! duty goes through the whole queue, page by page; and a Redis that came up empty shows by a key that is missing.
//!
//! What is proposed is set aside for a while, so that two workers are not sent to the same run, and put back when nobody
//! says what became of it.

mod ears;
mod entry;
mod rebuild;
mod scripts;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Dispatch, Hint, LedgerDispatch, Offer, Propose};
use crate::domain::{RunId, TenantId};
use crate::ledger::{Backlog, LedgerError, QueuedRun};
use crate::redis_link::{LinkError, Membership, RedisLink};
use ears::Ears;
use scripts::{Back, HOLD, Proposal, Scripts};

/// Hints in one call: a script holds the server up while it runs.
const OFFERED_AT_ONCE: usize = 256;
const PROPOSED_AT_ONCE: u32 = 256;
/// How long a process that found nothing waits before it looks again, unless it is woken or something is due: between
/// these, so that a fleet does not ask in step.
const POLL_MS: std::ops::Range<u64> = 100..250;
/// How often a process that finds nothing asks the ledger.
const LOOK_MS: std::ops::Range<u64> = 750..1_000;

/// Keeps hints in Redis.
pub struct RedisDispatch {
    link: Arc<RedisLink>,
    scripts: Scripts,
    backlog: Arc<dyn Backlog>,
    /// Without Redis.
    ledger: Dispatch,
    /// Names this process among the idle ones.
    process: String,
    ears: Arc<Ears>,
    /// Its channels, once somebody here waits for work.
    joined: OnceCell<[Membership; 2]>,
    unsaid: Mutex<Unsaid>,
    outlook: Mutex<Outlook>,
    /// Whether the last offer was refused; for the log.
    refused: AtomicBool,
}

/// What the next call to Redis has to say.
#[derive(Default)]
struct Unsaid {
    claimed: Vec<Vec<u8>>,
    freed: HashSet<TenantId>,
}

/// What the last proposal tells about the next one.
struct Outlook {
    /// Whether it had to come from the ledger.
    without_redis: bool,
    /// When something in Redis is due.
    due: Option<Duration>,
    /// When to ask the ledger next, if Redis has nothing.
    look_at: Instant,
    /// Whether fewer runs were proposed than asked for: then the next proposal is asked for at once.
    short: bool,
}

impl RedisDispatch {
    /// All sides over one link and one ledger. Whoever proposes needs the link to be kept by [`RedisLink::run`].
    #[must_use]
    pub fn dispatch(link: Arc<RedisLink>, backlog: Arc<dyn Backlog>) -> Dispatch {
        // One hash slot, so far, in the braces.
        let scripts = Scripts::new(link.key("{d0}"));
        let process = Uuid::now_v7().simple().to_string();
        let ears = Arc::new(Ears {
            wake: scripts.key(&format!("wake:{process}")),
            cancel: scripts.key("cancel"),
            woken: Notify::new(),
            cancelled: Notify::new(),
        });
        link.listen(ears.clone());
        let dispatch = Arc::new(Self {
            link,
            scripts,
            ledger: LedgerDispatch::dispatch(Arc::clone(&backlog)),
            backlog,
            process,
            ears,
            joined: OnceCell::new(),
            unsaid: Mutex::default(),
            outlook: Mutex::new(Outlook {
                without_redis: false,
                due: None,
                look_at: Instant::now(),
                short: true,
            }),
            refused: AtomicBool::new(false),
        });
        Dispatch {
            offer: dispatch.clone(),
            propose: dispatch.clone(),
            rebuild: Some(dispatch),
        }
    }

    // Every critical section leaves these consistent, so a panic elsewhere does not spoil them.
    fn unsaid(&self) -> MutexGuard<'_, Unsaid> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outlook(&self) -> MutexGuard<'_, Outlook> {
        self.outlook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the channels of who waits for work; returns once they are heard, or Redis is away. Cancel-safe.
    async fn join(&self) {
        let join = async || {
            let (wake, cancel) = tokio::join!(
                self.link.join(self.ears.wake.as_str()),
                self.link.join(self.ears.cancel.as_str())
            );
            [wake, cancel]
        };
        self.joined.get_or_init(join).await;
    }

    /// Asks Redis, and says what it has not been told yet. What it does not hear this time it finds out by itself.
    async fn ask(&self, limit: u32) -> Result<Proposal, LinkError> {
        let unsaid = std::mem::take(&mut *self.unsaid());
        let freed: Vec<TenantId> = unsaid.freed.into_iter().collect();
        let limit = limit.min(PROPOSED_AT_ONCE);
        self.scripts
            .propose(&self.link, &self.process, limit, &freed, &unsaid.claimed)
            .await
    }

    /// Takes from an answer what the next steps depend on; none when Redis did not answer.
    fn remember(&self, proposal: Option<&Proposal>, limit: u32) {
        let proposal = proposal.filter(|proposal| proposal.complete);
        let mut outlook = self.outlook();
        outlook.without_redis = proposal.is_none();
        outlook.due = proposal.and_then(|proposal| proposal.due);
        outlook.short = proposal.is_some_and(|proposal| proposal.hints.len() < limit as usize);
    }

    /// Whether the ledger is to be asked although Redis answers that there is nothing.
    fn look_now(&self, lost: bool) -> bool {
        let mut outlook = self.outlook();
        let now = Instant::now();
        if !lost && now < outlook.look_at {
            return false;
        }
        outlook.look_at = now + Duration::from_millis(rand::random_range(LOOK_MS));
        true
    }

    /// An offer did not arrive: whoever finds nothing is told to ask the ledger.
    async fn not_offered(&self, error: LinkError, hints: &[Hint]) {
        if let LinkError::Refused(error) = &error {
            if !self.refused.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "Redis refuses hints; workers are sent to the database");
            }
            self.send_to_ledger().await;
        } else {
            tracing::debug!(%error, hints = hints.len(), "not offered");
        }
        // Who waits in this process needs no Redis to hear it.
        self.ledger.offer.offer(hints).await;
    }

    async fn send_to_ledger(&self) {
        if let Err(error) = self.scripts.lost(&self.link).await {
            tracing::debug!(%error, "cannot say that hints were lost");
        }
    }

    /// Sorts what was proposed: entries that are over, and runs that go back.
    async fn sort<'a>(
        &self,
        proposed: &'a [Hint],
        granted: &[RunId],
        tenant_limit: Option<u32>,
    ) -> Result<(Vec<Vec<u8>>, Vec<Back<'a>>), LedgerError> {
        let granted: HashSet<RunId> = granted.iter().copied().collect();
        let refused: Vec<RunId> = proposed
            .iter()
            .map(|hint| hint.run)
            .filter(|run| !granted.contains(run))
            .collect();
        let mut queued: HashMap<RunId, QueuedRun> = HashMap::new();
        if !refused.is_empty() {
            let still = self.backlog.queued(&refused, tenant_limit).await?;
            queued.extend(still.into_iter().map(|queued| (queued.run, queued)));
        }
        let (mut over, mut back) = (Vec::new(), Vec::new());
        for hint in proposed {
            match queued.remove(&hint.run) {
                Some(queued) => back.push(Back {
                    proposed: hint,
                    queued,
                }),
                None => over.push(entry::encode(hint)),
            }
        }
        Ok((over, back))
    }
}

#[async_trait]
impl Offer for RedisDispatch {
    async fn offer(&self, hints: &[Hint]) {
        for some in hints.chunks(OFFERED_AT_ONCE) {
            match self.scripts.offer(&self.link, some).await {
                Ok(()) => self.refused.store(false, Ordering::Relaxed),
                Err(error) => return self.not_offered(error, some).await,
            }
        }
    }

    async fn cancel_requested(&self, run: RunId) {
        let mut publish = redis::cmd("SPUBLISH");
        publish.arg(&self.ears.cancel).arg(run.uuid().as_bytes());
        if let Err(error) = self.link.query::<()>(&publish).await {
            tracing::debug!(%error, %run, "cancel not passed on; its worker will ask the ledger");
            self.ledger.offer.cancel_requested(run).await;
        }
    }
}

#[async_trait]
impl Propose for RedisDispatch {
    async fn propose(&self, limit: u32, tenant_limit: Option<u32>) -> Result<Vec<Hint>, LedgerError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.join().await;
        let proposal = self.ask(limit).await;
        if let Err(error) = &proposal {
            tracing::debug!(%error, "reading the queue from the ledger");
        }
        self.remember(proposal.as_ref().ok(), limit);
        let Some(proposal) = proposal.ok().filter(|proposal| proposal.complete) else {
            return self.ledger.propose.propose(limit, tenant_limit).await;
        };
        if !proposal.hints.is_empty() || !self.look_now(proposal.lost) {
            return Ok(proposal.hints);
        }
        let found = self.ledger.propose.propose(limit, tenant_limit).await?;
        if proposal.lost && found.len() >= limit as usize {
            // There is more than this process can take, and no offer wakes the next one.
            self.send_to_ledger().await;
        }
        Ok(found)
    }

    async fn conclude(&self, proposed: &[Hint], granted: &[RunId], tenant_limit: Option<u32>) {
        if proposed.is_empty() || !self.link.is_up() {
            return;
        }
        let (mut over, back) = match self.sort(proposed, granted, tenant_limit).await {
            Ok(sorted) => sorted,
            Err(error) => {
                // They go back to their queues by themselves.
                tracing::debug!(%error, hints = proposed.len(), after = ?HOLD, "proposal not concluded");
                return;
            }
        };
        {
            let short = self.outlook().short;
            let mut unsaid = self.unsaid();
            if short && back.is_empty() {
                unsaid.claimed.append(&mut over);
                return;
            }
            over.append(&mut unsaid.claimed);
        }
        if let Err(error) = self.scripts.conclude(&self.link, &over, back).await {
            tracing::debug!(%error, hints = proposed.len(), "proposal not concluded");
        }
    }

    fn freed(&self, tenant: &TenantId) {
        self.unsaid().freed.insert(tenant.clone());
        self.ears.woken.notify_one();
    }

    async fn ready(&self) {
        let (without_redis, due) = {
            let outlook = self.outlook();
            (outlook.without_redis, outlook.due)
        };
        let poll = Duration::from_millis(rand::random_range(POLL_MS));
        let waiting = async {
            if without_redis {
                self.ledger.propose.ready().await;
            } else {
                tokio::time::sleep(due.map_or(poll, |due| due.min(poll))).await;
            }
        };
        tokio::select! {
            () = self.ears.woken.notified() => {}
            () = waiting => {}
        }
    }

    async fn cancel_hinted(&self) {
        self.join().await;
        tokio::select! {
            () = self.ears.cancelled.notified() => {}
            () = self.ledger.propose.cancel_hinted() => {}
        }
    }
}
