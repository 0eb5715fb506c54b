//! `mcpctl up`: everything in one process, on an embedded database in a data folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use shared::config::{ApiConfig, Environment, PostgresConfig, ProviderConfig, RedisConfig, WorkerConfig};
use shared::dispatch::LedgerDispatch;
use shared::feed::Feed;
use simulator::SimulatorConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::providers::{ProviderSections, Providers};
use super::signals::Signals;
use super::{embedded, start};
use crate::args::{Format, ThreadsArg};
use crate::exit::CliError;
use crate::output::{SIMULATED, Screen};

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where the data lives; made when it is not there
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
    /// The port on 127.0.0.1; 0 takes any that is free
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) threads: ThreadsArg,
}

pub(crate) async fn run(args: UpArgs) -> Result<(), CliError> {
    let mut env = Environment::of_process();
    let mut telemetry = start::telemetry(&mut env, "warn");
    if PostgresConfig::read(&mut env).is_some() {
        env.problem(
            "DATABASE_URL: `up` keeps its own database: unset it, or run mcpctl migrate, api and worker",
        );
    }
    if RedisConfig::read(&mut env).is_some() {
        env.problem("REDIS_URL: `up` needs no Redis: unset it, or set DATABASE_URL as well and run mcpctl api and worker");
    }
    let folder = embedded::lock(&args.data)?;
    let api_config = ApiConfig::read(&mut env, Some(embedded::hash_key(&folder)?));
    let worker_config = WorkerConfig::read(&mut env);
    let mut sections = ProviderSections::read(&mut env);
    start::finish(env)?;
    // A hash key was given, so there is a section.
    let Some(api_config) = api_config else {
        return Err(start::missing("no hash key", "mcpctl up"));
    };

    let metrics = start::metrics(&mut telemetry)?;
    let mut providers = sections.clone().open()?;
    let (ledger, moved) = embedded::open(&folder).await?;
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let (listener, address) = start::listen(wanted, "mcpctl up --port 0    (any port that is free)").await?;
    let signals =
        Signals::listen().map_err(|error| start::broken("cannot listen for signals", error, "mcpctl up"))?;
    let tasks = TaskTracker::new();
    let ended = CancellationToken::new();
    if providers.live().is_empty() {
        sections.configured = Some(simulate(&tasks, ended.clone()).await?);
        providers = sections.clone().open()?;
    }
    providers.keep_up(&tasks, &ended);

    let feed = Feed::local();
    let dispatch = LedgerDispatch::dispatch(ledger.backlog.clone());
    let (lease_held, _) = watch::channel(false);
    let drain = api::Drain::new(signals.soft.clone(), ended.clone());
    let parts = api::ApiParts {
        ledger: ledger.clone(),
        offer: dispatch.offer.clone(),
        feed: feed.clone(),
        config: api_config,
        providers: start::facts(&providers.parts),
        metrics: Some(metrics),
        drain: drain.clone(),
    };
    let banner = banner(address, &folder, sections.configured.as_ref(), &providers, moved);
    let worker = worker::Worker::new(worker::WorkerParts {
        ledger: ledger.clone(),
        dispatch: dispatch.clone(),
        publish: feed.publish.clone(),
        config: worker_config.clone(),
        providers: providers.parts,
        name: start::worker_name(),
        lease_held,
    })
    .map_err(|error| start::broken("a provider cannot be used", error, "correct the environment"))?;

    let serving = tokio::spawn(api::serve(listener, parts));
    let duties = (
        ledger,
        dispatch,
        feed.publish,
        worker_config,
        signals.soft.clone(),
    );
    tasks.spawn(async move {
        let (ledger, dispatch, publish, config, shutdown) = duties;
        worker::duties::run(&ledger, &dispatch, publish, &config, &shutdown).await;
    });
    let mut screen = Screen::new(Format::Text);
    screen.line(&banner).await?;
    let soft = signals.soft.clone();
    let telling = async {
        soft.cancelled().await;
        // Only words: that they cannot be shown changes nothing.
        let _ = screen
            .note("stopping: what runs may end; Ctrl-C again gives it back to the queue at once")
            .await;
    };
    let working = worker.run(worker::Shutdown {
        soft: signals.soft.clone(),
        hard: signals.hard.clone(),
    });
    tokio::join!(working, telling);

    ended.cancel();
    match serving.await {
        Ok(served) => served.map_err(|error| start::broken("the API broke down", error, "mcpctl up"))?,
        Err(error) => return Err(start::broken("the API broke down", error, "mcpctl up")),
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Starts the simulator behind a socket of its own, so that runs take the same way as with a real provider.
async fn simulate(tasks: &TaskTracker, ended: CancellationToken) -> Result<ProviderConfig, CliError> {
    let failed = |error: std::io::Error| start::broken("cannot start the simulator", error, "mcpctl up");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tasks.spawn(async move {
        if let Err(error) = simulator::serve(listener, SimulatorConfig::default(), ended).await {
            tracing::error!(%error, "the simulator broke down");
        }
    });
    Ok(ProviderConfig::simulator(format!("http://{address}/v1")))
}

/// How this program is typed here: by its name where the shell finds it, else by its path.
fn program() -> String {
    const NAME: &str = "mcpctl";
    let Ok(this) = std::env::current_exe() else {
        return NAME.to_owned();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path)
        .any(|folder| folder.join(NAME).canonicalize().is_ok_and(|found| found == this))
    {
        return NAME.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    this.strip_prefix(&here).unwrap_or(&this).display().to_string()
}

fn banner(
    address: SocketAddr,
    folder: &shared::ledger::DataFolder,
    configured: Option<&ProviderConfig>,
    providers: &Providers,
    moved: usize,
) -> String {
    let data = std::path::absolute(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
    let answers = match (configured, &*providers.live()) {
        (Some(provider), _) if provider.simulated => {
            format!("the simulator ({SIMULATED}); set a provider's key for a real one (OPENAI_API_KEY, …)")
        }
        (Some(provider), [_]) => format!("{} at {}", provider.name, provider.base_url),
        (_, live) => live.join(", "),
    };
    let server = if address.port() == 8000 {
        String::new()
    } else {
        format!(" --server http://{address}")
    };
    let mut lines = vec![
        "Model Control Plane is up".to_owned(),
        String::new(),
        format!("  API        http://{address}/mcp/v1/request"),
        format!("  docs       http://{address}/docs  ·  http://{address}/redoc"),
        format!("  health     http://{address}/health  ·  metrics http://{address}/metrics"),
        format!("  data       {}", data.display()),
        format!("  answers    {answers}"),
    ];
    if moved > 0 {
        lines.push(format!("  resumed    {moved} run(s) that were interrupted"));
    }
    lines.extend([
        String::new(),
        "Try".to_owned(),
        format!("  {} submit{server} \"Hello\" --follow", program()),
        format!("  curl -N http://{address}/mcp/v1/request -H 'Content-Type: application/json' \\"),
        "       -H 'Accept: text/event-stream' -d '{\"prompt\": \"Hello\"}'".to_owned(),
        String::new(),
        "Ctrl-C stops it; nothing is lost.".to_owned(),
    ]);
    lines.join("\n")
}
