//! `mcpctl bench`: sends a load to a control plane, or straight to a provider, and says how it was answered.
//!
//! Both ways through one generator, so that the difference is the control plane's. What a load is stands in `load`,
//! who sends it in `drive`, what is read in `answer`, what is counted in `tally`.

mod answer;
mod args;
mod drive;
mod histogram;
mod load;
mod prompt;
mod report;
mod stand_in;
mod tally;
mod target;
mod whole;

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use args::BenchArgs;

use self::prompt::Sender;
use self::report::Report;
use self::stand_in::Calls;
use crate::args::Format;
use crate::exit::CliError;
use crate::output::Screen;

pub(crate) async fn run(args: BenchArgs) -> Result<(), CliError> {
    let plan = args.plan();
    let sender = Sender::new(rand::random());
    let target = args.target(&plan, sender)?;
    let (url, direct) = (target.url.clone(), args.is_direct());
    let mut screen = Screen::new(args.output.format);

    let calls = Arc::new(Calls::new(sender));
    let shutdown = CancellationToken::new();
    let answering = match args.answer_on {
        None => None,
        Some(address) => {
            let listening = TcpListener::bind(address).await;
            let listener =
                listening.map_err(|error| broken(&format!("cannot listen on {address}"), error))?;
            screen
                .note(&format!(
                    "answering at http://{address}/v1: workers must be pointed there"
                ))
                .await?;
            let serving = stand_in::serve(listener, plan.shape.tokens, Arc::clone(&calls), shutdown.clone());
            Some(tokio::spawn(serving))
        }
    };
    if args.on_line {
        a_line().await?;
    }
    screen.busy(format!("sending to {url}"));
    let noted = answering.is_some().then(|| Arc::clone(&calls));
    let measured = drive::drive(plan.clone(), target, noted)
        .await
        .map_err(|error| broken("the generator broke down", error))?;
    screen.rest();
    shutdown.cancel();
    let called = match answering {
        None => None,
        Some(serving) => {
            serving
                .await
                .map_err(|error| broken("the provider broke down", error.into()))?;
            Some(calls.latency())
        }
    };

    let report = Report::new(&plan, url, direct, measured, called.as_ref());
    match screen.format {
        Format::Json => {
            let json = serde_json::to_string(&report)
                .map_err(|error| broken("the report cannot be written", error.into()))?;
            screen.json(&json).await?;
        }
        Format::Text => {
            for line in report.for_people(&plan).lines() {
                screen.line(line).await?;
            }
        }
    }
    if let Some(doubt) = report.doubt() {
        screen.note(&doubt).await?;
    }
    match report.nothing_but() {
        None => Ok(()),
        Some(why) => Err(CliError::Service {
            what: "nothing was answered".to_owned(),
            source: why.to_owned().into(),
            next: "mcpctl up    (or mcpctl simulate, and --direct)".to_owned(),
        }),
    }
}

/// Waits for a line on standard input.
async fn a_line() -> Result<(), CliError> {
    let read = BufReader::new(stdin()).read_line(&mut String::new()).await;
    let read = read.map_err(|error| broken("standard input cannot be read", error))?;
    if read > 0 {
        return Ok(());
    }
    Err(CliError::Usage {
        problem: "--on-line: standard input ended without a line".to_owned(),
        next: "mcpctl bench --help".to_owned(),
    })
}

fn broken(what: &str, source: std::io::Error) -> CliError {
    CliError::Service {
        what: what.to_owned(),
        source: source.into(),
        next: "mcpctl bench --help".to_owned(),
    }
}
