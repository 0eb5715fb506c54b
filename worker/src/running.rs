//! The runs this incarnation is executing, and how each is told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use shared::domain::RunId;
use shared::ledger::Held;
use shared::telemetry::vocabulary;
use tokio_util::sync::CancellationToken;

/// Why a run is told to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody asked for it.
    Cancelled {
        /// Who.
        by: String,
    },
    /// The worker is shutting down and will not wait any longer.
    Released,
    /// The run is no longer this worker's.
    Lost,
}

/// The line to one running run. The first reason to stop stays.
#[derive(Clone, Default)]
pub(crate) struct Line {
    reason: Arc<OnceLock<Stop>>,
    told: CancellationToken,
}

impl Line {
    fn tell(&self, stop: Stop) {
        // An error means that a reason was given before.
        let _ = self.reason.set(stop);
        self.told.cancel();
    }

    /// Returns when the run is told to stop. Cancel-safe.
    pub(crate) async fn stopped(&self) -> Stop {
        self.told.cancelled().await;
        self.reason.get().cloned().unwrap_or(Stop::Lost)
    }
}

/// Every running run, by its claim: a run that was given back may be claimed here again while the task of the former
/// claim still winds up.
#[derive(Default)]
pub(crate) struct Running {
    runs: Mutex<HashMap<Held, Line>>,
}

impl Running {
    fn runs(&self) -> MutexGuard<'_, HashMap<Held, Line>> {
        // Every critical section leaves the map consistent, so a panic elsewhere does not spoil it.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a claimed run; it leaves when the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, held: Held) -> Entered {
        let line = Line::default();
        self.runs().insert(held, line.clone());
        metrics::gauge!(vocabulary::RUNNING).increment(1);
        Entered {
            running: Arc::clone(self),
            held,
            line,
        }
    }

    /// Tells a run to stop that somebody asked to cancel, if it is here.
    pub(crate) fn cancel(&self, run: RunId, by: &str) {
        for (_, line) in self.runs().iter().filter(|(held, _)| held.run == run) {
            line.tell(Stop::Cancelled { by: by.to_owned() });
        }
    }

    /// Tells a claim that the run is no longer its own.
    pub(crate) fn lose(&self, held: Held) {
        if let Some(line) = self.runs().get(&held) {
            line.tell(Stop::Lost);
        }
    }

    /// Tells every run to stop.
    pub(crate) fn stop_all(&self, stop: &Stop) {
        for line in self.runs().values() {
            line.tell(stop.clone());
        }
    }

    /// Whether a claim is being carried out here.
    pub(crate) fn has(&self, held: Held) -> bool {
        self.runs().contains_key(&held)
    }
}

/// A run's place among the running; given back when dropped.
pub(crate) struct Entered {
    running: Arc<Running>,
    held: Held,
    /// How it is told to stop.
    pub(crate) line: Line,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.runs().remove(&self.held);
        metrics::gauge!(vocabulary::RUNNING).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_left_by_who_entered_it() {
        let running = Arc::new(Running::default());
        let run = RunId::new();
        let (former, present) = (Held { run, epoch: 1 }, Held { run, epoch: 3 });
        let first = running.enter(former);
        // Given back and claimed again before the first task is gone.
        let second = running.enter(present);
        running.lose(former);
        assert_eq!(first.line.stopped().await, Stop::Lost);
        drop(first);
        assert!(running.has(present) && !running.has(former));
        running.cancel(run, "client");
        let by = "client".to_owned();
        assert_eq!(second.line.stopped().await, Stop::Cancelled { by });
        drop(second);
        assert!(!running.has(present));
    }
}
