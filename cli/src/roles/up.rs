//! `mcpctl up`: everything in one process, on an embedded database in a data folder.

use std::path::PathBuf;

use clap::Args;

use crate::exit::CliError;

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where the data lives; made when it is not there
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
    /// The port on 127.0.0.1; 0 takes any that is free
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
}

pub(crate) async fn run(args: UpArgs) -> Result<(), CliError> {
    let UpArgs { data: _, port: _ } = args;
    Err(CliError::NotInThisBuild { role: "up" })
}
