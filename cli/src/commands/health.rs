//! `mcpctl health`: is a process, an API or a worker, alive, and can it work? For people, and for the health checks of
//! containers: the image has no shell and no curl. It ends with 0 or 1 and nothing else, as container engines ask of
//! a health check. Never more than a question: it changes nothing and is never retried.

use std::time::Duration;

use clap::Args;

use super::begin;
use crate::args::{Format, OutputArgs, ServerArgs, span};
use crate::exit::CliError;

const HELP: &str = "\
Exit codes: 0 it is well, 1 it is not or cannot be asked (2: the command line cannot be understood).
A worker answers at its --health-port: mcpctl health --ready --server http://127.0.0.1:9100";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct HealthArgs {
    /// Ask whether it can work, not only whether it lives: an API needs its database, a worker its lease
    #[arg(long)]
    ready: bool,
    /// How long it may take to answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    timeout: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: HealthArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let said = client.health(args.ready, args.timeout).await?;
    match screen.format {
        Format::Json => {
            let server = client.server().url().to_string();
            let facts =
                serde_json::json!({ "status": "ok", "server": server, "ready": args.ready, "said": said });
            screen.json(&facts.to_string()).await?;
        }
        Format::Text => screen.line(if args.ready { "ready" } else { "alive" }).await?,
    }
    Ok(())
}
