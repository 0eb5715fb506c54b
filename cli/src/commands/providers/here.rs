//! What these commands begin with: the catalog and the keys of this environment, and the fleet's view where a server
//! answers.

use shared::catalog::{Catalog, Liveness};
use shared::config::{ApiConfig, Environment, PostgresConfig, RedisConfig, TelemetryConfig, WorkerConfig};
use std::sync::Arc;
use worker::roster::RosterParts;

use crate::client::{Client, FleetView};
use crate::exit::CliError;
use crate::output::Screen;
use crate::roles::providers::ProviderSections;
use crate::roles::start;

/// Providers as this process could call them.
pub(super) struct Here {
    pub(super) parts: RosterParts,
    pub(super) catalog: Arc<Catalog>,
    pub(super) liveness: Liveness,
}

impl Here {
    /// Reads the environment as a role would, so that what is wrong with it is told here as well.
    pub(super) fn read() -> Result<Self, CliError> {
        let mut env = Environment::of_process();
        TelemetryConfig::read(&mut env);
        PostgresConfig::read(&mut env);
        RedisConfig::read(&mut env);
        WorkerConfig::read(&mut env);
        ApiConfig::acknowledge(&mut env);
        let sections = ProviderSections::read(&mut env);
        start::finish(env)?;
        let parts = sections.open()?.parts;
        let catalog = parts.catalog.current();
        let liveness = catalog.liveness(&parts.variables);
        Ok(Self {
            parts,
            catalog,
            liveness,
        })
    }
}

/// What the workers see, or a note that nobody tells: these commands have their own part to show without it.
pub(super) async fn fleet(client: &Client, screen: &mut Screen) -> Result<Option<FleetView>, CliError> {
    match client.fleet().await {
        Ok(fleet) => Ok(Some(fleet)),
        Err(error) => {
            screen
                .note(&format!("without the workers' figures: {error}"))
                .await?;
            Ok(None)
        }
    }
}
