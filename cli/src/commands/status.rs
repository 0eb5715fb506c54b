//! `mcpctl status`: where a run is.

use clap::Args;

use super::{begin, run_table};
use crate::args::{Format, OutputArgs, RunArg, ServerArgs};
use crate::exit::CliError;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: StatusArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let reply = client.status(args.run.id).await?;
    match screen.format {
        Format::Json => screen.json(&reply.raw).await?,
        Format::Text => screen.line(&run_table::of_one(&reply.value)).await?,
    }
    Ok(())
}
