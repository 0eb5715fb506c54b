//! `mcpctl simulate`: a provider that makes its answers up, for trying things out without a key. On loopback unless
//! it is told otherwise: it asks nobody who they are.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use simulator::SimulatorConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{Format, OutputArgs};
use crate::exit::CliError;
use crate::output::{SIMULATED, Screen};

const HELP: &str = "\
The base URL is printed on stdout; any OpenAI client can use it, with any key. A request says by its
model name how it wants to be treated: `sim`, `sim-fast`, `sim-slow`, or a script such as
`sim:first=1s,pace=50ms,tokens=20,fault=reset,after=5`.";

#[derive(Debug, Clone, Copy, Args)]
#[command(after_help = HELP)]
pub(crate) struct SimulateArgs {
    /// The address to listen on; anybody who reaches it may use it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port; 0 takes any that is free
    #[arg(long, default_value_t = 8001)]
    port: u16,
    /// The same seed and the same messages give the same answer
    #[arg(long, default_value_t = SimulatorConfig::default().seed)]
    seed: u64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) async fn run(args: SimulateArgs) -> Result<(), CliError> {
    let broken = |what: &str, next: &str| {
        let (what, next) = (what.to_owned(), next.to_owned());
        |error: std::io::Error| CliError::Service {
            what,
            source: error.into(),
            next,
        }
    };
    let wanted = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(wanted).await.map_err(broken(
        &format!("cannot listen on {wanted}"),
        "mcpctl simulate --port 0    (any port that is free)",
    ))?;
    let address = listener
        .local_addr()
        .map_err(broken("the listener has no address", "mcpctl simulate --port 0"))?;
    let base_url = format!("http://{address}/v1");
    // Before the address is told, so that nobody can stop it too early.
    let stopped = stop_signal().map_err(broken("cannot listen for signals", "mcpctl simulate"))?;
    let mut screen = Screen::new(args.output.format);
    match screen.format {
        Format::Json => {
            let facts = serde_json::json!({ "base_url": base_url, "simulated": true });
            screen.json(&facts.to_string()).await?;
        }
        Format::Text => {
            screen.line(&base_url).await?;
            screen
                .note(&format!("{SIMULATED} · seed {} · Ctrl-C ends it", args.seed))
                .await?;
            screen.note(&format!("try: curl {base_url}/models")).await?;
        }
    }
    let shutdown = CancellationToken::new();
    let config = SimulatorConfig {
        seed: args.seed,
        ..SimulatorConfig::default()
    };
    let serving = simulator::serve(listener, config, shutdown.clone());
    let stopping = async {
        stopped.await;
        shutdown.cancel();
    };
    let (served, ()) = tokio::join!(serving, stopping);
    served.map_err(broken("the simulator broke down", "mcpctl simulate"))
}

/// Resolves at Ctrl-C or SIGTERM; listening begins at once.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
