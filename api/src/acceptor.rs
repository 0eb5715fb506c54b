//! Group commit on the way in: submits that arrive together become one transaction. A run's caller hears of it only
//! after COMMIT; the queue is hinted in between.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use shared::dispatch::{Hint, Offer};
use shared::ledger::{AcceptOutcome, LedgerError, NewRun, Submit};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::admission::Place;
use crate::body::Held;

/// Runs in one transaction.
const BATCH: usize = 128;
/// Runs that may wait for the transaction under way; their bodies are bounded by the body budget.
const WAITING: usize = 1_024;

/// Why a run was not accepted. Except after [`NotAccepted::Overloaded`] it is not known whether the ledger has it all
/// the same.
#[derive(Debug)]
pub(crate) enum NotAccepted {
    /// Too many are waiting.
    Overloaded,
    /// The ledger did not do it.
    Ledger(LedgerError),
    /// A defect: its batch was dropped in the middle.
    Lost,
}

struct Job {
    run: NewRun,
    /// Its place in the queue.
    place: Place,
    /// The run's body is in memory until the job is done.
    _held: Held,
    reply: oneshot::Sender<Result<AcceptOutcome, LedgerError>>,
}

/// Hands runs to the accepting task.
#[derive(Clone)]
pub(crate) struct Acceptor {
    jobs: mpsc::Sender<Job>,
}

impl Acceptor {
    /// Starts the task. It ends when every clone of the acceptor is gone, after what was waiting.
    pub(crate) fn spawn(submit: Arc<dyn Submit>, offer: Arc<dyn Offer>, tracker: &TaskTracker) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING);
        tracker.spawn(accept_all(waiting, submit, offer));
        Self { jobs }
    }

    /// Accepts a run. When the caller goes away, the run may be accepted all the same.
    ///
    /// # Errors
    /// When too many are waiting, or when the ledger is away.
    pub(crate) async fn accept(
        &self,
        run: NewRun,
        place: Place,
        held: Held,
    ) -> Result<AcceptOutcome, NotAccepted> {
        let (reply, outcome) = oneshot::channel();
        let job = Job {
            run,
            place,
            _held: held,
            reply,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotAccepted::Overloaded,
            mpsc::error::TrySendError::Closed(_) => NotAccepted::Lost,
        })?;
        outcome
            .await
            .map_err(|_| NotAccepted::Lost)?
            .map_err(NotAccepted::Ledger)
    }
}

async fn accept_all(mut waiting: mpsc::Receiver<Job>, submit: Arc<dyn Submit>, offer: Arc<dyn Offer>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let accepting = accept_batch(std::mem::take(&mut batch), submit.as_ref(), offer.as_ref());
        // A defect that costs one batch must not cost every batch after it. What unwinds is owned by the batch, or
        // a handle to what holds its own against being dropped at any await.
        if AssertUnwindSafe(accepting).catch_unwind().await.is_err() {
            tracing::error!("accepting a batch panicked");
        }
    }
}

async fn accept_batch(mut batch: Vec<Job>, submit: &dyn Submit, offer: &dyn Offer) {
    // In one order everywhere, so that two processes with the same keys cannot wait for each other.
    batch.sort_by(|a, b| order(&a.run).cmp(&order(&b.run)));
    let (runs, rest): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(
            |Job {
                 run,
                 place,
                 _held,
                 reply,
             }| (run, (place, _held, reply)),
        )
        .unzip();
    let outcomes = match submit.accept(&runs).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            tracing::warn!(%error, runs = runs.len(), "not accepted");
            for (_, _, reply) in rest {
                // An error means that the caller is gone.
                let _ = reply.send(Err(error.clone()));
            }
            return;
        }
    };
    // Between COMMIT and the hint: what is lost here is found again by the queue itself.
    fail::fail_point!("api::accepted", |_| std::process::abort());
    let accepted = runs
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| matches!(outcome, AcceptOutcome::Accepted { .. }));
    let hints: Vec<_> = accepted.map(|(run, _)| hint(run)).collect();
    if !hints.is_empty() {
        offer.offer(&hints).await;
    }
    for ((run, outcome), (place, _held, reply)) in runs.iter().zip(outcomes).zip(rest) {
        if let AcceptOutcome::Accepted { .. } = outcome {
            place.taken();
            tracing::info!(run = %run.id, tenant = %run.tenant, class = %run.class, "accepted");
        }
        let _ = reply.send(Ok(outcome));
    }
}

fn order(run: &NewRun) -> (&str, Option<&str>) {
    (
        run.tenant.as_str(),
        run.idempotency
            .as_ref()
            .map(|idempotency| idempotency.key.as_str()),
    )
}

fn hint(run: &NewRun) -> Hint {
    Hint {
        run: run.id,
        epoch: 0,
        tenant: run.tenant.clone(),
        class: run.class,
        delay: Duration::ZERO,
    }
}
