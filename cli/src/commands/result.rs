//! `mcpctl result`: the answer of a finished run.

use clap::Args;
use shared::domain::{RunId, Status};

use super::begin;
use super::following::verdict;
use super::summary::Summary;
use crate::args::{Format, OutputArgs, RunArg, ServerArgs};
use crate::client::{Client, Outcome, Reply, ResultView};
use crate::exit::CliError;
use crate::output::Screen;

#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ResultArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    match client.result(args.run.id).await? {
        Outcome::Ended(reply) => show(&client, args.run.id, &reply, &mut screen).await,
        Outcome::Unfinished(reply) => Err(unfinished(&client, args.run.id, reply.value.status)),
    }
}

/// Prints a result. An error when the run ended without an answer.
pub(super) async fn show(
    client: &Client,
    run: RunId,
    reply: &Reply<ResultView>,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let result = &reply.value;
    if screen.format == Format::Json {
        screen.json(&reply.raw).await?;
    } else {
        screen.piece(result.text.as_deref().unwrap_or_default()).await?;
        screen.end_line().await?;
        let more: Vec<&str> = result
            .message
            .iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .filter(|key| *key != "role")
            .collect();
        if !more.is_empty() {
            let json = client.server().command(&format!("result {run} -o json"));
            screen
                .note(&format!(
                    "the answer is more than its text ({}): {json}",
                    more.join(", ")
                ))
                .await?;
        }
        screen.note(&Summary::of_result(result).line()).await?;
    }
    verdict(client, run, result.status, result.error.clone())
}

pub(super) fn unfinished(client: &Client, run: RunId, status: Status) -> CliError {
    CliError::Unfinished {
        run,
        status,
        next: client.server().command(&format!("tail {run}")),
    }
}
