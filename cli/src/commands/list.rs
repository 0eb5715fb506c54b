//! `mcpctl list`: runs, the latest first, a page at a time.

use clap::Args;
use shared::domain::{Class, Status};

use super::{begin, run_table};
use crate::args::{Format, OutputArgs, ServerArgs};
use crate::client::ListQuery;
use crate::exit::CliError;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only runs with this status
    #[arg(long)]
    status: Option<Status>,
    /// Only runs of this class
    #[arg(long)]
    class: Option<Class>,
    /// Only runs of this task type
    #[arg(long, value_name = "TYPE")]
    task_type: Option<String>,
    /// Only runs on behalf of this user, named as in `submit --user`
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: Option<u16>,
    /// The page that the last one named
    #[arg(long)]
    cursor: Option<String>,
    /// The runs of every tenant; needs an admin's key
    #[arg(long)]
    all_tenants: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ListArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let query = ListQuery {
        status: args.status.map(|status| status.to_string()),
        class: args.class.map(|class| class.to_string()),
        task_type: args.task_type,
        user_id: args.user,
        limit: args.limit,
        cursor: args.cursor,
        all_tenants: args.all_tenants.then_some(true),
    };
    let reply = client.list(&query).await?;
    if screen.format == Format::Json {
        return Ok(screen.json(&reply.raw).await?);
    }
    if reply.value.requests.is_empty() {
        let next = client.server().command("submit \"Hello\" --follow");
        screen
            .note(&format!("no runs that match; to make one: {next}"))
            .await?;
        return Ok(());
    }
    screen
        .line(&run_table::of_many(&reply.value.requests, args.all_tenants))
        .await?;
    if let Some(cursor) = &reply.value.next_cursor {
        screen
            .note(&format!(
                "there are more: the same command with --cursor {cursor}"
            ))
            .await?;
    }
    Ok(())
}
