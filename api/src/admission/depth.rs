//! How much may be queued: of one tenant, and in all. The ledger is counted now and then, not for every submit; in
//! between, this process adds what it has accepted itself. Other processes' accepts are noticed at the next count, so
//! with several of them a limit may be exceeded by what they accept within about a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::config::DepthLimits;
use shared::domain::TenantId;
use shared::ledger::{LedgerError, Reader};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

/// A count is believed for so long while there seems to be room. The next one begins at half of that, beside the submits,
/// so that while they come steadily none of them waits for it.
const TRUST: Duration = Duration::from_secs(1);
/// A count that takes long, because the queue is long, is believed for so many times as long as it took: counting never
/// takes more than a small share of the ledger's time.
const TRUST_PER_COUNT: u32 = 40;
/// Counts begin at least so far apart: a storm of submits against a full queue costs ten counts a second.
const GAP: Duration = Duration::from_millis(100);

/// Why there is no place.
#[derive(Debug, Clone)]
pub(crate) enum Full {
    /// The tenant has as many runs queued as it may have.
    Tenant(u64),
    /// So many runs are queued in all as may be.
    All(u64),
    /// It could not be found out.
    Unknown(LedgerError),
}

/// Keeps the queue within its limits.
pub(super) struct Depth {
    limits: DepthLimits,
    ledger: Counting,
    all: Arc<Gauge>,
    tenants: Mutex<HashMap<TenantId, Arc<Gauge>>>,
}

/// What a count needs: where to count, and who waits for the counts that nobody asked for.
#[derive(Clone)]
struct Counting {
    reader: Reader,
    tracker: TaskTracker,
}

impl Depth {
    /// Keeps the queue that `reader` sees within these limits. Counts made beside the submits are tasks on `tracker`.
    pub(super) fn new(limits: DepthLimits, reader: Reader, tracker: &TaskTracker) -> Self {
        Self {
            limits,
            ledger: Counting {
                reader,
                tracker: tracker.clone(),
            },
            all: Arc::new(Gauge::new(limits.in_all, None)),
            tenants: Mutex::default(),
        }
    }

    /// Keeps a place for one run of this tenant.
    ///
    /// # Errors
    /// When there is none, by a count of the ledger that began after this call, or when it cannot be counted.
    pub(super) async fn reserve(&self, tenant: &TenantId) -> Result<Place, Full> {
        let own = self.gauge(tenant);
        let full = |error: NoRoom, full: Full| match error {
            NoRoom::Full => full,
            NoRoom::Unknown(error) => Full::Unknown(error),
        };
        let own = own
            .take(&self.ledger)
            .await
            .map_err(|error| full(error, Full::Tenant(self.limits.per_tenant)))?;
        let all = Arc::clone(&self.all);
        let all = all
            .take(&self.ledger)
            .await
            .map_err(|error| full(error, Full::All(self.limits.in_all)))?;
        Ok(Place { own, all })
    }

    /// Tenants come from the configured keys, so there are few.
    fn gauge(&self, tenant: &TenantId) -> Arc<Gauge> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let gauge = tenants
            .entry(tenant.clone())
            .or_insert_with(|| Arc::new(Gauge::new(self.limits.per_tenant, Some(tenant.clone()))));
        Arc::clone(gauge)
    }
}

/// A place kept in the queue. Dropped, it is free again.
pub(crate) struct Place {
    own: Seat,
    all: Seat,
}

impl Place {
    /// The run is in the ledger: the place stays taken until the ledger is counted again.
    pub(crate) fn taken(mut self) {
        self.own.taken = true;
        self.all.taken = true;
    }
}

struct Seat {
    gauge: Arc<Gauge>,
    taken: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut tally = self.gauge.tally();
        tally.reserved -= 1;
        tally.accepted += u64::from(self.taken);
    }
}

enum NoRoom {
    Full,
    Unknown(LedgerError),
}

#[derive(Default)]
struct Tally {
    /// What the ledger said.
    counted: u64,
    /// When that count began; none before the first.
    counted_at: Option<Instant>,
    /// How long it is believed from then on.
    trust: Duration,
    /// The next one is being made beside the submits.
    renewing: bool,
    /// Accepted by this process since that count began. What was accepted during the count may be in both: the sum
    /// errs towards refusing, until the next count.
    accepted: u64,
    /// Places kept for runs on their way.
    reserved: u64,
}

struct Gauge {
    limit: u64,
    tenant: Option<TenantId>,
    tally: Mutex<Tally>,
    /// Whoever holds this counts; the others wait for that count.
    counting: tokio::sync::Mutex<()>,
}

impl Gauge {
    fn new(limit: u64, tenant: Option<TenantId>) -> Self {
        Self {
            limit,
            tenant,
            tally: Mutex::default(),
            counting: tokio::sync::Mutex::default(),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Every critical section leaves the tally consistent, so a panic elsewhere does not spoil it.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(self: Arc<Self>, ledger: &Counting) -> Result<Seat, NoRoom> {
        let arrived = Instant::now();
        loop {
            {
                let mut tally = self.tally();
                let room = tally.counted + tally.accepted + tally.reserved < self.limit;
                let counted_at = tally.counted_at;
                let believed = counted_at.is_some_and(|at| at.elapsed() < tally.trust);
                // While somebody else is counting, the last count has to do.
                let being_counted = counted_at.is_some() && self.counting.try_lock().is_err();
                if room && (believed || being_counted || counted_at >= Some(arrived)) {
                    tally.reserved += 1;
                    if !tally.renewing && counted_at.is_some_and(|at| at.elapsed() >= tally.trust / 2) {
                        tally.renewing = true;
                        self.count_beside(arrived, ledger);
                    }
                    break;
                }
                if !room && counted_at >= Some(arrived) {
                    return Err(NoRoom::Full);
                }
            }
            self.count(arrived, &ledger.reader)
                .await
                .map_err(NoRoom::Unknown)?;
        }
        Ok(Seat {
            gauge: self,
            taken: false,
        })
    }

    /// Counts while others go on. What comes of it, who needs to know hears by counting.
    fn count_beside(self: &Arc<Self>, arrived: Instant, ledger: &Counting) {
        let (gauge, reader) = (Arc::clone(self), ledger.reader.clone());
        ledger.tracker.spawn(async move {
            if let Err(error) = gauge.count(arrived, &reader).await {
                tracing::debug!(%error, "the queue was not counted");
            }
            gauge.tally().renewing = false;
        });
    }

    /// Counts, unless somebody did since `arrived`.
    async fn count(&self, arrived: Instant, reader: &Reader) -> Result<(), LedgerError> {
        let _turn = self.counting.lock().await;
        let counted_at = self.tally().counted_at;
        if counted_at >= Some(arrived) {
            return Ok(());
        }
        if let Some(at) = counted_at {
            sleep_until(at + GAP).await;
        }
        let started = Instant::now();
        let accepted_before = self.tally().accepted;
        let counted = reader.queued(self.tenant.as_ref(), self.limit).await?;
        let mut tally = self.tally();
        tally.counted = counted;
        tally.counted_at = Some(started);
        tally.trust = TRUST.max(started.elapsed() * TRUST_PER_COUNT);
        tally.accepted -= accepted_before;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause, resume};

    use super::*;
    use crate::stage::Stage;

    #[tokio::test]
    async fn a_count_that_grows_old_is_renewed_beside_the_submits() {
        let (stage, tracker) = (Stage::open().await, TaskTracker::new());
        let limits = DepthLimits {
            per_tenant: 10,
            in_all: 10,
        };
        let depth = Depth::new(limits, stage.ledger.reader.clone(), &tracker);
        let first = depth.reserve(&TenantId::local()).await.unwrap();
        let counted_at = || depth.all.tally().counted_at;
        let by_the_first = counted_at();
        pause();
        advance(TRUST / 2).await;
        let _second = depth.reserve(&TenantId::local()).await.unwrap();
        resume();
        assert!(!tracker.is_empty(), "nobody counts beside the submits");
        first.taken();
        tracker.close();
        tracker.wait().await;
        assert!(counted_at() > by_the_first, "it was not counted again");
        assert!(!depth.all.tally().renewing, "there would be no other count");
    }
}
