//! `mcpctl migrate`: brings the schema up to date, once, before APIs and workers start.

use clap::Args;
use shared::config::{ApiConfig, Environment, PostgresConfig, RedisConfig, WorkerConfig};

use super::providers::ProviderSections;
use super::start;
use crate::args::Format;
use crate::exit::CliError;
use crate::output::Screen;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MigrateArgs {}

pub(crate) async fn run(_args: MigrateArgs) -> Result<(), CliError> {
    let mut env = Environment::of_process();
    let _telemetry = start::telemetry(&mut env, "warn");
    let database = PostgresConfig::read(&mut env);
    RedisConfig::read(&mut env);
    // One environment may serve a whole installation.
    WorkerConfig::read(&mut env);
    ProviderSections::read(&mut env);
    ApiConfig::acknowledge(&mut env);
    start::finish(env)?;
    let database = start::postgres(database)?;
    let ledger = start::open(&database).await?;
    let failed = |error| {
        start::broken(
            "cannot migrate",
            error,
            "see what the database says, then: mcpctl migrate",
        )
    };
    let pending = migrations::pending(ledger.connection()).await.map_err(failed)?;
    migrations::migrate(ledger.connection()).await.map_err(failed)?;
    let prepared = ledger.upkeep.prepare_partitions().await;
    prepared
        .map_err(|error| start::broken("cannot prepare the log's partitions", error, "mcpctl migrate"))?;
    let mut screen = Screen::new(Format::Text);
    for name in &pending {
        screen.line(&format!("applied {name}")).await?;
    }
    screen.line("the schema is up to date").await?;
    Ok(())
}
