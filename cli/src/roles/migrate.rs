//! `mcpctl migrate`: brings the schema up to date, once, before APIs and workers start.

use clap::Args;

use crate::exit::CliError;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MigrateArgs {}

pub(crate) async fn run(args: MigrateArgs) -> Result<(), CliError> {
    let MigrateArgs {} = args;
    Err(CliError::NotInThisBuild { role: "migrate" })
}
