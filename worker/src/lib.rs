//! Execution: claims runs and carries them out. Never talks HTTP to clients, never sees the API crate.
//!
//! The way of a run here: [`pool`] (permit ▸ propose ▸ claim) ▸ [`pipeline`] (execute ▸ decide ▸ settle) ▸ [`kinds`] ▸
//! [`roster`] (who can be called) ▸ [`routing`] ▸ [`providers`] ▸ [`journal`] (append ▸ commit ▸ publish). [`incarnation`] holds the lease that all of it
//! lives under; [`duties`] rescue what others dropped.

mod announce;
mod back_off;
pub mod duties;
mod fleet;
pub mod health;
mod incarnation;
mod journal;
mod kinds;
mod ledger_time;
mod pipeline;
mod pool;
pub mod providers;
pub mod roster;
pub mod routing;
mod running;

use std::sync::Arc;

use shared::config::WorkerConfig;
use shared::dispatch::Dispatch;
use shared::feed::Publish;
use shared::ledger::Ledger;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use incarnation::Ended;
use providers::SettingsError;
use roster::{Roster, RosterParts};

/// What a worker is made of.
pub struct WorkerParts {
    /// The truth.
    pub ledger: Ledger,
    /// Proposes what to claim; is offered what goes back to the queue.
    pub dispatch: Dispatch,
    /// Tells whoever watches.
    pub publish: Arc<dyn Publish>,
    /// Its section of the configuration.
    pub config: WorkerConfig,
    /// Who answers, and how they are chosen.
    pub providers: RosterParts,
    /// For people: host and process.
    pub name: String,
    /// Whether the lease is held; for health checks.
    pub lease_held: watch::Sender<bool>,
}

/// How a worker is told to stop. Cancelling `hard` without `soft` does nothing.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Claim no more and let what runs end.
    pub soft: CancellationToken,
    /// Give back what runs, now.
    pub hard: CancellationToken,
}

/// A worker ready to run.
pub struct Worker {
    parts: WorkerParts,
    roster: Arc<Roster>,
}

impl Worker {
    /// Prepares a worker.
    ///
    /// # Errors
    /// When a provider's settings are not usable.
    pub fn new(parts: WorkerParts) -> Result<Self, SettingsError> {
        let roster = Arc::new(Roster::new(&parts.providers)?);
        Ok(Self { parts, roster })
    }

    /// Who it can call, and what it knows of them.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster)
    }

    /// Works until shutdown; returns when nothing is held any more. A lost lease begins a new incarnation.
    pub async fn run(self, shutdown: Shutdown) {
        let living = async {
            while incarnation::live(&self.parts, &self.roster, &shutdown).await == Ended::Lost {
                if shutdown.soft.is_cancelled() {
                    return;
                }
                tracing::info!("beginning again as a new incarnation");
            }
        };
        tokio::select! {
            () = living => {}
            () = self.roster.follow(self.parts.providers.catalog.clone()) => {}
        }
    }
}
