//! `mcpctl providers`: who there is, whether one of them answers, and who would be chosen. The catalog and the keys are
//! those of this process's environment; what the workers see comes from the server, where one answers. Shows the names of
//! variables, never what is in them.

mod explain;
mod here;
mod list;
mod test;

use clap::{Args, Subcommand};

use crate::args::Format;
use crate::exit::CliError;

#[derive(Debug, Args)]
pub(crate) struct ProvidersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the providers of the catalog, whose key is here, and what the workers see of them
    List(list::ListArgs),
    /// Make one small call of a provider from here, and tell how it went
    Test(test::TestArgs),
    /// Show who would be chosen for a model, and why
    Explain(explain::ExplainArgs),
}

impl ProvidersArgs {
    pub(crate) fn format(&self) -> Format {
        match &self.what {
            What::List(args) => args.output.format,
            What::Test(args) => args.output.format,
            What::Explain(args) => args.output.format,
        }
    }
}

pub(crate) async fn run(args: ProvidersArgs) -> Result<(), CliError> {
    match args.what {
        What::List(args) => list::run(args).await,
        What::Test(args) => test::run(args).await,
        What::Explain(args) => explain::run(args).await,
    }
}
