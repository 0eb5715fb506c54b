//! `mcpctl worker`: a worker alone, on a database shared with APIs and other workers.

use clap::Args;

use crate::exit::CliError;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WorkerArgs {
    /// Runs executed at the same time; without it what MCP_SLOTS says, or 256
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) slots: Option<u32>,
    /// Serve health and metrics on this port; without it no port is opened
    #[arg(long, value_name = "N")]
    pub(crate) health_port: Option<u16>,
}

pub(crate) async fn run(args: WorkerArgs) -> Result<(), CliError> {
    let WorkerArgs { slots: _, health_port: _ } = args;
    Err(CliError::NotInThisBuild { role: "worker" })
}
