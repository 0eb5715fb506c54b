//! `mcpctl api`: the API alone, on a database shared with workers.

use std::net::IpAddr;

use clap::Args;

use crate::exit::CliError;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ApiArgs {
    /// The address to listen on; any but a loopback one needs MCP_API_KEYS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// The port; 0 takes any that is free
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
}

pub(crate) async fn run(args: ApiArgs) -> Result<(), CliError> {
    let ApiArgs { host: _, port: _ } = args;
    Err(CliError::NotInThisBuild { role: "api" })
}
