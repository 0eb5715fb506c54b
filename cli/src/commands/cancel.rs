//! `mcpctl cancel`: asks for the end of a run. Asking twice is asking once.

use clap::Args;
use shared::domain::Status;

use super::begin;
use crate::args::{Format, OutputArgs, RunArg, ServerArgs};
use crate::exit::CliError;
use crate::output::SIMULATED;

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: CancelArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let run = args.run.id;
    let reply = client.cancel(run).await?;
    if screen.format == Format::Json {
        return Ok(screen.json(&reply.raw).await?);
    }
    let (done, hint) = match reply.value.status {
        Status::Cancelled => ("cancelled", None),
        _ => (
            "cancelling",
            Some(client.server().command(&format!("status {run}"))),
        ),
    };
    let label = if reply.value.simulated {
        format!("  {SIMULATED}")
    } else {
        String::new()
    };
    screen.line(&format!("{run}  {done}{label}")).await?;
    if let Some(hint) = hint {
        screen.note(&format!("its worker has been told: {hint}")).await?;
    }
    Ok(())
}
