//! Duties: what has to be done by somebody, now and then, but by one process at a time. Each runs under a lease row in
//! the ledger, takes no input, and may be repeated or done by another process at any time.

mod deadlines;
mod hints;
mod partitions;
mod reaper;
mod retention;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::config::WorkerConfig;
use shared::dispatch::Dispatch;
use shared::feed::Publish;
use shared::ledger::{Ledger, LedgerError, Upkeep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::announce::Announcer;
use crate::back_off::jittered;

/// One duty.
#[async_trait]
trait Duty: Send {
    /// Its lease row.
    fn name(&self) -> &'static str;

    /// How often it is done.
    fn interval(&self) -> Duration;

    /// How long it is kept from one time to the next: long enough to last, short enough that a dead holder is soon
    /// replaced.
    fn term(&self) -> Duration {
        self.interval().mul_f64(2.5)
    }

    /// Does it once. Called only while its lease is held.
    async fn perform(&mut self) -> Result<(), LedgerError>;

    /// Told whether the ledger answered, also while another process holds the duty.
    fn ledger_answered(&mut self, _answered: bool) {}
}

/// Closes runs and tells of it.
#[derive(Clone)]
struct Closer {
    upkeep: Arc<dyn Upkeep>,
    announcer: Announcer,
}

/// Takes part in every duty until shutdown.
pub async fn run(
    ledger: &Ledger,
    dispatch: &Dispatch,
    publish: Arc<dyn Publish>,
    config: &WorkerConfig,
    shutdown: &CancellationToken,
) {
    let closer = Closer {
        upkeep: ledger.upkeep.clone(),
        announcer: Announcer {
            publish,
            offer: dispatch.offer.clone(),
        },
    };
    let mut duties: Vec<Box<dyn Duty>> = vec![
        Box::new(reaper::Reaper::new(closer.clone(), config.lease)),
        Box::new(deadlines::Deadlines::new(closer.clone())),
        Box::new(partitions::Partitions::new(closer.upkeep.clone())),
    ];
    if let Some(keep) = config.retention {
        duties.push(Box::new(retention::Retention::new(closer.upkeep.clone(), keep)));
    }
    if let Some(rebuild) = &dispatch.rebuild {
        duties.push(Box::new(hints::Hints::new(
            ledger.backlog.clone(),
            rebuild.clone(),
        )));
    }
    let holder = Uuid::now_v7();
    let tasks = TaskTracker::new();
    for duty in duties {
        let upkeep = closer.upkeep.clone();
        tasks.spawn(
            shutdown
                .clone()
                .run_until_cancelled_owned(keep(duty, upkeep, holder)),
        );
    }
    tasks.close();
    tasks.wait().await;
}

/// Does a duty whenever its lease can be had.
async fn keep(mut duty: Box<dyn Duty>, upkeep: Arc<dyn Upkeep>, holder: Uuid) {
    loop {
        let done = match upkeep.hold_duty(duty.name(), holder, duty.term()).await {
            Ok(true) => duty.perform().await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        duty.ledger_answered(done.is_ok());
        if let Err(error) = done {
            tracing::warn!(duty = duty.name(), %error, "duty not done; it will be tried again");
        }
        tokio::time::sleep(jittered(duty.interval(), 0.8..1.0)).await;
    }
}

/// At the start of the only process of a ledger: whoever was here before is dead, so there is no lease to wait for.
///
/// # Errors
/// When the ledger is away.
pub async fn reap_predecessors(ledger: &Ledger) -> Result<usize, LedgerError> {
    let mut moved = 0;
    for worker in ledger.upkeep.live_workers().await? {
        moved += ledger
            .upkeep
            .reap(worker, WorkerConfig::MAX_CRASHES, false)
            .await?
            .len();
    }
    Ok(moved)
}
