//! The runs this incarnation is executing, and how each is told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use shared::domain::RunId;
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

/// Every running run.
#[derive(Default)]
pub(crate) struct Running {
    runs: Mutex<HashMap<RunId, Line>>,
}

impl Running {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Line>> {
        // Every critical section leaves the map consistent, so a panic elsewhere does not spoil it.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a run; it leaves when the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, run: RunId) -> Entered {
        let line = Line::default();
        self.runs().insert(run, line.clone());
        metrics::gauge!(vocabulary::RUNNING).increment(1);
        Entered {
            running: Arc::clone(self),
            run,
            line,
        }
    }

    /// Tells a run to stop, if it is here.
    pub(crate) fn stop(&self, run: RunId, stop: Stop) {
        if let Some(line) = self.runs().get(&run) {
            line.tell(stop);
        }
    }

    /// Tells every run to stop.
    pub(crate) fn stop_all(&self, stop: &Stop) {
        for line in self.runs().values() {
            line.tell(stop.clone());
        }
    }

    /// Whether a run is here.
    pub(crate) fn has(&self, run: RunId) -> bool {
        self.runs().contains_key(&run)
    }
}

/// A run's place among the running; given back when dropped.
pub(crate) struct Entered {
    running: Arc<Running>,
    run: RunId,
    /// How it is told to stop.
    pub(crate) line: Line,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut runs = self.running.runs();
        // A run that was given back may have been claimed here again by now: that place stays.
        if runs
            .get(&self.run)
            .is_some_and(|line| Arc::ptr_eq(&line.reason, &self.line.reason))
        {
            runs.remove(&self.run);
        }
        drop(runs);
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
        let first = running.enter(run);
        // Given back and claimed again before the first task is gone.
        let second = running.enter(run);
        drop(first);
        assert!(running.has(run));
        running.stop(run, Stop::Lost);
        assert_eq!(second.line.stopped().await, Stop::Lost);
        drop(second);
        assert!(!running.has(run));
    }
}
