//! The grammar of the command line: which commands there are, and the options that several of them share. The
//! options of one command stand beside it. Nothing is done here.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shared::domain::RunId;

use crate::client::ServerUrl;
use crate::{commands, roles};

const EXIT_CODES: &str = "\
Exit codes:
  0    ok
  1    an error
  2    the command line cannot be understood
  3    the run failed or was cancelled
  4    the server refused the API key, or wants one
  5    the server cannot be reached
  124  --wait: the run was not finished in time
  130  interrupted by Ctrl-C (the run goes on)

Data goes to stdout; progress, notes and errors go to stderr.";

/// Model Control Plane: durable runs of LLM work.
#[derive(Debug, Parser)]
#[command(name = "mcpctl", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything in one process: API, worker and an embedded database
    Up(roles::up::UpArgs),
    /// Start an API on the database that DATABASE_URL names
    Api(roles::api::ApiArgs),
    /// Start a worker on the database that DATABASE_URL names
    Worker(roles::worker::WorkerArgs),
    /// Bring the schema of the database that DATABASE_URL names up to date
    Migrate(roles::migrate::MigrateArgs),
    /// Hand in a prompt
    Submit(Box<commands::submit::SubmitArgs>),
    /// Show where a run is
    Status(commands::status::StatusArgs),
    /// Print the answer of a finished run
    Result(commands::result::ResultArgs),
    /// Follow a run until it ends: its answer, or its events
    Tail(commands::tail::TailArgs),
    /// Cancel a run
    Cancel(commands::cancel::CancelArgs),
    /// List runs, the latest first
    List(commands::list::ListArgs),
    /// Show providers and models, call one for a try, or explain who would be chosen
    Providers(commands::providers::ProvidersArgs),
    /// Ask an API or a worker whether it is well
    Health(commands::health::HealthArgs),
    /// Start an OpenAI-compatible provider that makes its answers up
    Simulate(commands::simulate::SimulateArgs),
    /// Send a load to a control plane or a provider, and measure how it is answered
    Bench(Box<commands::bench::BenchArgs>),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
}

impl Command {
    /// Threads that were asked for; none where the runtime may choose.
    pub(crate) const fn threads(&self) -> Option<NonZeroUsize> {
        match self {
            Self::Up(args) => Some(args.threads.threads),
            Self::Api(args) => Some(args.threads.threads),
            Self::Worker(args) => Some(args.threads.threads),
            _ => None,
        }
    }

    /// How the command was asked to print; errors are printed so, too.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Submit(args) => args.output.format,
            Self::Status(args) => args.output.format,
            Self::Result(args) => args.output.format,
            Self::Tail(args) => args.output.format,
            Self::Cancel(args) => args.output.format,
            Self::List(args) => args.output.format,
            Self::Providers(args) => args.format(),
            Self::Health(args) => args.output.format,
            Self::Simulate(args) => args.output.format,
            Self::Bench(args) => args.output.format,
            Self::Up(_) | Self::Api(_) | Self::Worker(_) | Self::Migrate(_) | Self::Openapi => Format::Text,
        }
    }
}

/// How many threads a role works on.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ThreadsArg {
    /// Threads of this process; one costs the least CPU per run, and more processes scale as well as more threads
    #[arg(long, env = "MCP_THREADS", value_name = "N", default_value_t = NonZeroUsize::MIN)]
    pub(crate) threads: NonZeroUsize,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// The server's JSON as it is; one object per line where there are many. An error is an object, too: the last
    /// line of stderr
    Json,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) format: Format,
}

/// Which server a command talks to, and as whom. The key itself is never an argument: every user of the machine can
/// read those.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Where the control plane answers
    #[arg(long, env = "MCP_SERVER", value_name = "URL", default_value = ServerUrl::DEFAULT)]
    pub(crate) server: ServerUrl,
    /// A file that holds the API key; without it the environment's MCP_API_KEY is used
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
}

/// The run a command is about.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RunArg {
    /// The run's id, as `submit` printed it
    #[arg(value_name = "ID", value_parser = run_id)]
    pub(crate) id: RunId,
}

fn run_id(text: &str) -> Result<RunId, String> {
    text.parse()
        .map_err(|error| format!("{error}; `mcpctl list` shows the ids there are"))
}

/// How long a follower puts up with a server that is away.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PatienceArg {
    /// While following, keep trying to reconnect for so long; 0 gives up at the first loss
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = span)]
    pub(crate) reconnect_for: Duration,
}

/// A span of time: `30` or `30s` are seconds, `500ms`, `5m`, `2h`, `1d`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(EXPECTED_SPAN.to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| EXPECTED_SPAN.to_owned())?;
    let seconds = number * unit;
    // A hundred years, so that nothing overflows when it is added to a moment.
    if !(0.0..=3.2e9).contains(&seconds) {
        return Err("must not be negative, nor longer than a hundred years".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

const EXPECTED_SPAN: &str = "expected a time such as `30`, `30s`, `500ms`, `5m`, `2h` or `1d`";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn spans() {
        for (text, millis) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("500ms", 500),
            ("1.5m", 90_000),
            ("2h", 7_200_000),
            ("0", 0),
        ] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1", "1w", "1 s", "NaN", "inf", "1e300d", "99999999d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_way_of_waiting_at_a_time() {
        for both in [
            ["--follow", "--detach"],
            ["--wait", "--follow"],
            ["--wait=3", "--detach"],
        ] {
            assert!(
                Cli::try_parse_from(["mcpctl", "submit", "x", both[0], both[1]]).is_err(),
                "{both:?}"
            );
        }
    }

    #[test]
    fn a_wait_does_not_swallow_the_prompt() {
        let cli = Cli::try_parse_from(["mcpctl", "submit", "--wait", "Hello"]).unwrap();
        let Command::Submit(args) = cli.command else {
            panic!("submit")
        };
        assert_eq!((args.prompt.as_deref(), args.wait), (Some("Hello"), Some(None)));
    }

    #[test]
    fn a_prompt_may_begin_with_a_dash_after_two() {
        let cli = Cli::try_parse_from(["mcpctl", "submit", "--detach", "--", "--help me"]).unwrap();
        let Command::Submit(args) = cli.command else {
            panic!("submit")
        };
        assert_eq!(args.prompt.as_deref(), Some("--help me"));
    }
}
