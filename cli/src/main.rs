//! `mcpctl`, the one binary: every role of the control plane, and the commands of its users.
//!
//! This file only joins the parts: it reads the command line, starts the runtime, and turns what came out of the
//! command into an exit code. What a command does is said in `commands` and `roles`, never here.

mod allocator;
mod args;
mod client;
mod commands;
mod exit;
mod output;
mod roles;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Builder;

use crate::args::{Cli, Command};
use crate::exit::CliError;

fn main() -> anyhow::Result<ExitCode> {
    allocator::decline_huge_pages();
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let command = Cli::parse().command;
    let format = command.format();
    let runtime = match command.threads().map(NonZeroUsize::get) {
        Some(1) => Builder::new_current_thread(),
        Some(threads) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
        None => Builder::new_multi_thread(),
    }
    .enable_all()
    .build()
    .context("cannot start the async runtime")?;
    let outcome = runtime.block_on(run(command));
    // Not dropped: that would wait for a write to a pipe that nobody reads, after Ctrl-C too.
    runtime.shutdown_background();
    Ok(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error.report(), format);
            error.code().into()
        }
    })
}

async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Up(args) => roles::up::run(args).await,
        Command::Api(args) => roles::api::run(args).await,
        Command::Worker(args) => roles::worker::run(args).await,
        Command::Migrate(args) => roles::migrate::run(args).await,
        Command::Submit(args) => commands::submit::run(*args).await,
        Command::Status(args) => commands::status::run(args).await,
        Command::Result(args) => commands::result::run(args).await,
        Command::Tail(args) => commands::tail::run(args).await,
        Command::Cancel(args) => commands::cancel::run(args).await,
        Command::List(args) => commands::list::run(args).await,
        Command::Providers(args) => commands::providers::run(args).await,
        Command::Health(args) => commands::health::run(args).await,
        Command::Simulate(args) => commands::simulate::run(args).await,
        Command::Bench(args) => commands::bench::run(*args).await,
        Command::Openapi => commands::openapi::run().await,
    }
}
