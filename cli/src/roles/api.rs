//! `mcpctl api`: the API alone, on a database shared with workers.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use shared::config::{ApiConfig, Environment, PostgresConfig, RedisConfig, WorkerConfig};
use tokio_util::task::TaskTracker;

use super::paths::Paths;
use super::providers::ProviderSections;
use super::signals::Signals;
use super::start;
use crate::args::{Format, ThreadsArg};
use crate::exit::CliError;
use crate::output::Screen;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ApiArgs {
    /// The address to listen on; any but a loopback one needs MCP_API_KEYS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// The port; 0 takes any that is free
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) threads: ThreadsArg,
}

pub(crate) async fn run(args: ApiArgs) -> Result<(), CliError> {
    let mut env = Environment::of_process();
    let mut telemetry = start::telemetry(&mut env, "info");
    let database = PostgresConfig::read(&mut env);
    let redis = RedisConfig::read(&mut env);
    let config = ApiConfig::read(&mut env, None);
    let providers = ProviderSections::read(&mut env);
    // One environment may serve a whole installation.
    WorkerConfig::read(&mut env);
    start::finish(env)?;
    let database = start::postgres(database)?;
    // `finish` has complained when there is none.
    let Some(config) = config else {
        return Err(start::missing("MCP_HASH_KEY is not set", "openssl rand -hex 32"));
    };
    if !args.host.is_loopback() && config.keys.is_empty() {
        let problem = format!(
            "{} can be reached from elsewhere, and MCP_API_KEYS is not set",
            args.host
        );
        return Err(start::missing(
            &problem,
            "MCP_API_KEYS=tenant:key mcpctl api --host … (or listen on 127.0.0.1)",
        ));
    }

    let metrics = start::metrics(&mut telemetry)?;
    let ledger = start::open_migrated(&database).await?;
    let address = SocketAddr::new(args.host, args.port);
    let (listener, address) =
        start::listen(address, "mcpctl api --port 0    (any port that is free)").await?;
    let signals =
        Signals::listen().map_err(|error| start::broken("cannot listen for signals", error, "mcpctl api"))?;
    let tasks = TaskTracker::new();
    let mut providers = providers.open()?;
    providers.keep_up(&tasks, &signals.hard);
    let paths = Paths::open(&ledger, redis.as_ref(), &tasks, &signals.hard).await?;

    let parts = api::ApiParts {
        offer: paths.dispatch.offer,
        feed: paths.feed,
        ledger,
        config,
        providers: start::facts(&providers.parts),
        metrics: Some(metrics),
        drain: api::Drain::new(signals.soft.clone(), signals.hard.clone()),
    };
    Screen::new(Format::Text)
        .line(&format!("listening on http://{address}"))
        .await?;
    let served = tokio::spawn(api::serve(listener, parts));
    signals.soft.cancelled().await;
    // Watchers have been told to go elsewhere; requests under way end, and nothing else holds this process.
    signals.hard.cancel();
    let broke = |error| start::broken("the API broke down", error, "mcpctl api");
    match served.await {
        Ok(served) => served.map_err(broke)?,
        Err(error) => return Err(start::broken("the API broke down", error, "mcpctl api")),
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}
