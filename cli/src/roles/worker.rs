//! `mcpctl worker`: a worker alone, on a database shared with APIs and other workers.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use shared::config::{ApiConfig, Environment, PostgresConfig, RedisConfig, WorkerConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::paths::Paths;
use super::providers::ProviderSections;
use super::signals::Signals;
use super::start;
use crate::args::ThreadsArg;
use crate::exit::CliError;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WorkerArgs {
    /// Runs executed at the same time; without it what MCP_SLOTS says, or 256
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) slots: Option<u32>,
    /// Serve health and metrics on this port of all addresses; without it no port is opened
    #[arg(long, value_name = "N")]
    pub(crate) health_port: Option<u16>,
    #[command(flatten)]
    pub(crate) threads: ThreadsArg,
}

pub(crate) async fn run(args: WorkerArgs) -> Result<(), CliError> {
    let mut env = Environment::of_process();
    let mut telemetry = start::telemetry(&mut env, "info");
    let database = PostgresConfig::read(&mut env);
    let redis = RedisConfig::read(&mut env);
    let mut config = WorkerConfig::read(&mut env);
    let providers = ProviderSections::read(&mut env);
    ApiConfig::acknowledge(&mut env);
    start::finish(env)?;
    let database = start::postgres(database)?;
    let mut providers = providers.open()?;
    let live = providers.live();
    if live.is_empty() {
        return Err(start::missing(
            "no provider is configured",
            "OPENAI_API_KEY=… mcpctl worker    (or the key of another provider, or OPENAI_BASE_URL for a local server; \
             to try things out: `mcpctl simulate` and MCP_SIMULATOR_URL)",
        ));
    }
    config.slots = args.slots.unwrap_or(config.slots);

    let metrics = start::metrics(&mut telemetry)?;
    let ledger = start::open_migrated(&database).await?;
    let signals = Signals::listen()
        .map_err(|error| start::broken("cannot listen for signals", error, "mcpctl worker"))?;
    let (lease_held, lease) = watch::channel(false);
    let tasks = TaskTracker::new();
    let ended = CancellationToken::new();
    if let Some(port) = args.health_port {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let (listener, address) = start::listen(address, "mcpctl worker --health-port 0").await?;
        tracing::info!(%address, "health and metrics");
        let serving = worker::health::serve(listener, lease, metrics, ended.clone());
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "health and metrics are not served any more");
            }
        });
    }
    providers.keep_up(&tasks, &ended);
    tracing::info!(providers = live.join(", "), "who can be called");
    let Paths { dispatch, feed } = Paths::open(&ledger, redis.as_ref(), &tasks, &ended).await?;
    let publish = feed.publish;
    let duties = (
        ledger.clone(),
        dispatch.clone(),
        publish.clone(),
        config.clone(),
        signals.soft.clone(),
    );
    tasks.spawn(async move {
        let (ledger, dispatch, publish, config, shutdown) = duties;
        worker::duties::run(&ledger, &dispatch, publish, &config, &shutdown).await;
    });
    let worker = worker::Worker::new(worker::WorkerParts {
        dispatch,
        ledger,
        publish,
        config,
        providers: providers.parts,
        name: start::worker_name(),
        lease_held,
    })
    .map_err(|error| start::broken("a provider cannot be used", error, "correct the environment"))?;
    worker
        .run(worker::Shutdown {
            soft: signals.soft.clone(),
            hard: signals.hard.clone(),
        })
        .await;
    ended.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}
