//! One incarnation of a worker: a lease, and everything that lives and dies with it.

use std::sync::Arc;
use std::time::Duration;

use shared::clock;
use shared::dispatch::Propose;
use shared::domain::WorkerId;
use shared::ledger::{Execute, NewWorker, Renewal};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::announce::Announcer;
use crate::back_off::{BackOff, jittered};
use crate::fleet::Fleet;
use crate::journal::{Journals, Writer};
use crate::kinds::Tools;
use crate::ledger_time::LedgerTime;
use crate::pipeline::Pipeline;
use crate::pool::{ClaimState, Next, Pool};
use crate::roster::Roster;
use crate::running::{Running, Stop};
use crate::{Shutdown, WorkerParts};

/// How often the ledger is asked for cancels when no hint comes.
const CANCEL_POLL: Duration = Duration::from_millis(400);

/// How an incarnation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was shut down and holds nothing any more.
    Drained,
    /// Its lease was lost; a new one may begin.
    Lost,
}

/// Lives until shutdown or until the lease is lost.
pub(crate) async fn live(parts: &WorkerParts, roster: &Arc<Roster>, shutdown: &Shutdown) -> Ended {
    let worker = WorkerId::new();
    let time = LedgerTime::unknown();
    let Some(lease) = register(parts, worker, &time, shutdown).await else {
        return Ended::Drained;
    };
    tracing::info!(%worker, slots = parts.config.slots, "worker registered");

    let running = Arc::new(Running::default());
    let journals = Journals::new();
    let tasks = TaskTracker::new();
    let runs = TaskTracker::new();
    // Cancelled when this incarnation must not write any more: everything stops at once.
    let lost = CancellationToken::new();
    // Cancelled when nothing of it is left to be done.
    let done = CancellationToken::new();

    let fenced = Arc::clone(&running);
    let writer = Writer::new(
        &journals,
        parts.ledger.execute.clone(),
        parts.publish.clone(),
        worker,
        time.clone(),
        Box::new(move |held| fenced.lose(held)),
    );
    let until = |task: &CancellationToken| task.clone();
    tasks.spawn(until(&done).run_until_cancelled_owned(writer.run()));
    tasks.spawn(until(&done).run_until_cancelled_owned(keep_lease(
        parts.ledger.execute.clone(),
        worker,
        parts.config.lease,
        lease,
        time.clone(),
        shutdown.soft.clone(),
        lost.clone(),
        parts.lease_held.clone(),
    )));
    tasks.spawn(until(&done).run_until_cancelled_owned(watch_cancels(
        parts.ledger.execute.clone(),
        parts.dispatch.propose.clone(),
        worker,
        Arc::clone(&running),
    )));
    let fleet = Fleet {
        ledger: parts.ledger.clone(),
        roster: Arc::clone(roster),
        catalog: parts.providers.catalog.clone(),
        time: time.clone(),
        worker,
    };
    tasks.spawn(until(&done).run_until_cancelled_owned(fleet.run()));

    let pool = Pool {
        worker,
        ledger: parts.ledger.clone(),
        propose: parts.dispatch.propose.clone(),
        announcer: announcer(parts),
        pipeline: Arc::new(Pipeline {
            journals: journals.clone(),
            tools: Tools {
                roster: Arc::clone(roster),
                config: parts.config.clone(),
                time,
                worker,
            },
            offer: parts.dispatch.offer.clone(),
        }),
        running: Arc::clone(&running),
        permits: Arc::new(Semaphore::new(parts.config.slots as usize)),
        tasks: runs.clone(),
    };
    claim_until(&pool, shutdown, &lost).await;
    if !lost.is_cancelled() {
        tracing::info!(%worker, runs = runs.len(), "drain: claiming no more; letting runs end");
    }
    runs.close();
    drain(&runs, &running, parts.config.drain, shutdown, &lost).await;

    let ended = if lost.is_cancelled() {
        Ended::Lost
    } else {
        Ended::Drained
    };
    done.cancel();
    tasks.close();
    tasks.wait().await;
    // Nobody commits any more: who waits for a commit is told, and the last tasks end.
    journals.abandon();
    runs.wait().await;
    retire(parts, worker).await;
    ended
}

fn announcer(parts: &WorkerParts) -> Announcer {
    Announcer {
        publish: parts.publish.clone(),
        offer: parts.dispatch.offer.clone(),
    }
}

/// Introduces the incarnation; answers the moment its lease began. None when shut down before.
async fn register(
    parts: &WorkerParts,
    worker: WorkerId,
    time: &LedgerTime,
    shutdown: &Shutdown,
) -> Option<Instant> {
    let new = NewWorker {
        id: worker,
        name: parts.name.clone(),
        slots: parts.config.slots,
    };
    let mut back_off = BackOff::for_ledger();
    loop {
        // The lease counts from before it was asked for, so that this side never believes in it longer than the ledger.
        let (began, asked) = (Instant::now(), clock::now());
        match parts.ledger.execute.register(&new, parts.config.lease).await {
            Ok(now) => {
                time.correct(asked, now);
                return Some(began);
            }
            Err(error) => tracing::warn!(%error, "cannot register; trying again"),
        }
        shutdown
            .soft
            .run_until_cancelled(tokio::time::sleep(back_off.next()))
            .await?;
    }
}

/// Renews until cancelled; gives the incarnation up when it is dead, or before its lease can be over.
#[expect(clippy::too_many_arguments, reason = "a task's whole world, named one by one")]
async fn keep_lease(
    ledger: Arc<dyn Execute>,
    worker: WorkerId,
    lease: Duration,
    mut began: Instant,
    time: LedgerTime,
    soft: CancellationToken,
    lost: CancellationToken,
    held: tokio::sync::watch::Sender<bool>,
) {
    held.send_replace(true);
    let every = lease.mul_f64(0.3);
    // What is in flight when we give up must be over before the ledger may give our runs to others.
    let patience = lease.mul_f64(0.8);
    loop {
        let mut next = Instant::now() + jittered(every, 0.9..1.0);
        let (asked, asked_at) = (Instant::now(), clock::now());
        let renewal =
            tokio::time::timeout_at(began + patience, ledger.renew(worker, lease, soft.is_cancelled())).await;
        match renewal {
            Ok(Ok(Renewal::Renewed { now })) => {
                began = asked;
                time.correct(asked_at, now);
                held.send_replace(true);
            }
            Ok(Ok(Renewal::Dead)) => {
                tracing::warn!(%worker, "this incarnation was declared dead; its runs belong to others");
                break;
            }
            Ok(Err(error)) => {
                held.send_replace(false);
                tracing::warn!(%error, "cannot renew the lease");
                // Soon again: when the ledger is back, the lease must not run out for want of asking.
                next = Instant::now() + jittered(lease, 0.02..0.08);
            }
            Err(_) => {}
        }
        if began.elapsed() >= patience {
            tracing::warn!(%worker, "the lease could not be renewed in time; stopping its runs");
            break;
        }
        tokio::time::sleep_until(next.min(began + patience)).await;
    }
    held.send_replace(false);
    lost.cancel();
}

/// Passes cancels on to the runs, until cancelled.
async fn watch_cancels(
    ledger: Arc<dyn Execute>,
    propose: Arc<dyn Propose>,
    worker: WorkerId,
    running: Arc<Running>,
) {
    loop {
        // Whether a hint came or not, the ledger is asked.
        let _ = tokio::time::timeout(CANCEL_POLL, propose.cancel_hinted()).await;
        match ledger.cancel_requests(worker).await {
            Ok(requests) => requests
                .into_iter()
                .for_each(|(run, by)| running.cancel(run, &by)),
            Err(error) => tracing::debug!(%error, "cannot ask for cancels"),
        }
    }
}

/// Claims until shutdown begins or the lease is lost. A turn is never dropped half-way.
async fn claim_until(pool: &Pool, shutdown: &Shutdown, lost: &CancellationToken) {
    let mut state = ClaimState::new();
    loop {
        let permit = tokio::select! {
            biased;
            () = shutdown.soft.cancelled() => return,
            () = lost.cancelled() => return,
            permit = pool.ready() => permit,
        };
        let Some(permit) = permit else { return };
        let wait = match pool.turn(permit, &mut state).await {
            Next::Again => continue,
            Next::Wait => None,
            Next::Pause(pause) => Some(pause),
        };
        let waiting = async {
            match wait {
                None => pool.propose.ready().await,
                Some(pause) => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.soft.cancelled() => return,
            () = lost.cancelled() => return,
            () = waiting => {}
        }
    }
}

/// Lets running runs end; gives them back when that takes too long or shutdown is urgent; drops them when the lease is
/// lost.
async fn drain(
    runs: &TaskTracker,
    running: &Running,
    patience: Duration,
    shutdown: &Shutdown,
    lost: &CancellationToken,
) {
    let soft = async {
        tokio::select! {
            () = shutdown.hard.cancelled() => {}
            () = tokio::time::sleep(patience) => {}
        }
        tracing::info!("drain: giving unfinished runs back to the queue");
        running.stop_all(&Stop::Released);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = runs.wait() => {}
        () = lost.cancelled() => {
            running.stop_all(&Stop::Lost);
        }
        () = soft => {}
    }
}

/// Leaves the ledger's list of workers. What it may still hold goes back to the queue; after a lost lease this is what
/// the reaper would do, only earlier.
async fn retire(parts: &WorkerParts, worker: WorkerId) {
    let reaped = parts
        .ledger
        .upkeep
        .reap(worker, shared::config::WorkerConfig::MAX_CRASHES, false)
        .await;
    match reaped {
        Ok(closed) => announcer(parts).closed(closed).await,
        // The lease runs out and another process's reaper does it.
        Err(error) => tracing::warn!(%error, %worker, "cannot sign off; the lease will lapse"),
    }
}
