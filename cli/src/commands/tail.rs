//! `mcpctl tail`: follows a run until it ends, from its start or from where another reader stopped.

use clap::Args;
use shared::domain::Cursor;

use super::begin;
use super::following::{Following, verdict};
use super::narrator::Manner;
use crate::args::{Format, OutputArgs, PatienceArg, RunArg, ServerArgs};
use crate::exit::CliError;

const HELP: &str = "\
Every event comes once and in order, over as many connections as it takes. With -o json each line is
an event as the server sent it, with its `cursor`: hand the last one back with --after to go on.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    run: RunArg,
    /// Begin after this event
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Print the events instead of the answer's text
    #[arg(long)]
    events: bool,
    #[command(flatten)]
    patience: PatienceArg,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: TailArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let manner = match args.output.format {
        Format::Json => Manner::Json,
        Format::Text if args.events => Manner::Events,
        Format::Text => Manner::Answer,
    };
    let run = args.run.id;
    let patience = args.patience.reconnect_for;
    let following = Following {
        run,
        after: args.after,
        manner,
        patience,
        limit: None,
        known: false,
    };
    let end = following.to_the_end(&client, &mut screen).await?;
    verdict(&client, run, end.status, end.error)
}
