//! Workers that are killed one after the other, and replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::stage::{Command, Process, health_of};

/// From one kill to the next.
const LIFE: Duration = Duration::from_secs(1);

/// Workers under fire.
pub(super) struct Crew {
    workers: Arc<Mutex<Vec<Process>>>,
    away: Arc<AtomicBool>,
    peace: CancellationToken,
    fire: JoinHandle<usize>,
}

/// What it takes to start and to kill them.
struct Fire {
    workers: Arc<Mutex<Vec<Process>>>,
    away: Arc<AtomicBool>,
    peace: CancellationToken,
    size: usize,
    hire: Box<dyn Fn() -> Command + Send + Sync>,
}

impl Crew {
    /// Starts so many, and from then on kills the oldest every second.
    pub(super) async fn start(size: usize, hire: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        let (workers, away, peace) =
            <(Arc<Mutex<Vec<Process>>>, Arc<AtomicBool>, CancellationToken)>::default();
        let fire = Fire {
            workers: Arc::clone(&workers),
            away: Arc::clone(&away),
            peace: peace.clone(),
            size,
            hire: Box::new(hire),
        };
        fire.fill_up().await;
        assert_eq!(workers.lock().await.len(), size);
        Self {
            workers,
            away,
            peace,
            fire: tokio::spawn(fire.keep_up()),
        }
    }

    /// From now on Redis may not answer, so that a new worker refuses to start; or it does.
    pub(super) fn redis_may_be_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Where those who live serve their metrics.
    pub(super) async fn origins(&self) -> Vec<String> {
        let workers = self.workers.lock().await;
        workers
            .iter()
            .filter_map(|worker| worker.origin.clone())
            .collect()
    }

    /// Ends the killing; answers with as many living workers as there were in the beginning.
    pub(super) async fn at_peace(self) -> Vec<Process> {
        self.peace.cancel();
        let killed = self.fire.await.expect("every worker could be replaced");
        assert!(killed > 0, "nobody was killed");
        std::mem::take(&mut *self.workers.lock().await)
    }
}

impl Fire {
    /// Kills and replaces; answers how many were killed.
    async fn keep_up(self) -> usize {
        let mut killed = 0;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LIFE) => {}
                () = self.peace.cancelled() => break,
            }
            let mut workers = self.workers.lock().await;
            // Somebody stays: while Redis is away the others are not replaced.
            if workers.len() > 1 {
                workers.remove(0).kill().await;
                killed += 1;
            }
            drop(workers);
            self.fill_up().await;
        }
        self.fill_up().await;
        killed
    }

    /// Starts as many as there are missing. A Redis that is away when a worker starts is an error that names it: such
    /// a worker is missing for now.
    async fn fill_up(&self) {
        while self.workers.lock().await.len() < self.size {
            let excused = self.away.load(Ordering::SeqCst);
            let mut worker = (self.hire)().start();
            if !worker.says_or_ends("worker registered").await {
                let ended = worker.finish().await;
                assert!(excused || self.away.load(Ordering::SeqCst), "{ended}");
                assert!(
                    ended.code() == Some(1) && ended.stderr.contains("REDIS_URL"),
                    "{ended}"
                );
                return;
            }
            worker.origin = Some(health_of(&mut worker).await);
            self.workers.lock().await.push(worker);
        }
    }
}
