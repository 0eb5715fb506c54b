//! The options of `mcpctl bench`, and the plan and the target they come to.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use std::{env, thread};

use clap::Args;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::load::{Arrivals, Extent, Load, Plan, Shape};
use super::prompt::Sender;
use super::target::Target;
use crate::args::{OutputArgs, ServerArgs, span};
use crate::client::{Server, ServerUrl};
use crate::exit::CliError;

const HELP: &str = "\
The answers' shape (--tokens, --first, --pace) is asked of the simulator, which follows it: start one with
`mcpctl simulate`, point the workers to it, and send the same load to both, the second time with --direct.
An answer that is not as long as it was asked to be counts as failed. With --model another provider can
be measured: then the shape is the provider's, and tokens are counted by it.

What is printed:
  accepted         until the head of the response (of a control plane: the run is committed)
  provider called  until the provider was called for the run; with --answer-on
  first token      until the first text
  gap              between two arrivals of text in one run; text that comes at once is one arrival
Latencies are of the runs that begin after the warm-up, rates of what ends, or arrives, while it is measured.

Every run that goes through a control plane is kept by it, as any other.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct BenchArgs {
    /// What to send
    #[arg(value_enum)]
    load: Load,
    /// Send it to an OpenAI-compatible provider instead: its base URL, up to and including the version. Its key is
    /// read from OPENAI_API_KEY
    #[arg(long, value_name = "URL")]
    direct: Option<ServerUrl>,
    /// Runs at the same time; each over a connection of its own
    #[arg(short, long, value_name = "N", default_value = "64")]
    concurrency: NonZeroU32,
    /// When runs begin
    #[arg(long, value_enum, default_value = "spread")]
    arrivals: Arrivals,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    duration: Duration,
    /// What to leave out at the beginning
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span)]
    warmup: Duration,
    /// End after so many runs instead, and count all of them; waves are sent whole
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warmup"])]
    runs: Option<u64>,
    /// Threads of the generator; by default half of the machine's
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroU32>,
    /// Be the provider, too, at this address, and measure when it is called. It answers at once, and
    /// holds the calls for runs of others
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["direct", "first", "pace", "model"])]
    pub(super) answer_on: Option<SocketAddr>,
    /// Begin to send when a line comes on standard input; with --answer-on, answer from the start
    #[arg(long)]
    pub(super) on_line: bool,
    /// One more header of every request; may be repeated. Not for secrets: every user of the machine can read it
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,

    /// Tokens of an answer
    #[arg(long, help_heading = "Answers", value_name = "N")]
    tokens: Option<u32>,
    /// From the call to the first token
    #[arg(long, help_heading = "Answers", value_name = "TIME", value_parser = span)]
    first: Option<Duration>,
    /// Between two tokens
    #[arg(long, help_heading = "Answers", value_name = "TIME", value_parser = span)]
    pace: Option<Duration>,
    /// Ask this model instead of the simulator
    #[arg(long, help_heading = "Answers", conflicts_with_all = ["first", "pace"])]
    model: Option<String>,
    /// Ask for this name instead, behind which a gateway has the simulator with the answers' shape
    #[arg(
        long,
        help_heading = "Answers",
        value_name = "NAME",
        requires = "direct",
        conflicts_with = "model"
    )]
    alias: Option<String>,
    /// Answers in one piece instead of streams
    #[arg(long, help_heading = "Answers")]
    whole: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl BenchArgs {
    pub(super) fn plan(&self) -> Plan {
        let preset = self.load.shape();
        let shape = Shape {
            tokens: self.tokens.unwrap_or(preset.tokens),
            first: self.first.unwrap_or(preset.first),
            pace: self.pace.unwrap_or(preset.pace),
        };
        let threads = self.threads.unwrap_or_else(|| {
            let all = thread::available_parallelism().map_or(1, usize::from);
            u32::try_from(all / 2)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MIN)
        });
        Plan {
            load: self.load,
            shape,
            concurrency: self.concurrency,
            arrivals: self.arrivals,
            extent: match self.runs {
                Some(runs) => Extent::Runs(runs),
                None => Extent::Time {
                    warm_up: self.warmup,
                    measured: self.duration,
                },
            },
            threads: threads.min(self.concurrency),
            exact: self.model.is_none(),
            whole: self.whole,
        }
    }

    pub(super) fn target(&self, plan: &Plan, sender: Sender) -> Result<Target, CliError> {
        let script = plan.shape.script();
        let model = self.model.as_deref().or(self.alias.as_deref()).unwrap_or(&script);
        if plan.load == Load::Submit && plan.whole {
            return Err(CliError::Usage {
                problem: "submit: nobody waits for an answer, in one piece or not".to_owned(),
                next: "mcpctl bench flat --whole".to_owned(),
            });
        }
        let headers = HeaderMap::from_iter(self.header.iter().cloned());
        let Some(base) = &self.direct else {
            let target = Target::control_plane(&Server::of(&self.server)?, plan, model, sender)?;
            return Ok(target.with(headers));
        };
        if plan.load == Load::Submit {
            return Err(CliError::Usage {
                problem: "submit: a provider has no queue to hand a run in to".to_owned(),
                next: "mcpctl bench noop --direct URL".to_owned(),
            });
        }
        Ok(Target::provider(base, plan, model, key()?, sender)?.with(headers))
    }

    pub(super) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }
}

/// A header as it is given: `NAME=VALUE`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("expected NAME=VALUE, such as x-team=search")?;
    let name = name
        .parse()
        .map_err(|_| format!("`{name}` is not the name of a header"))?;
    let value = value
        .parse()
        .map_err(|_| "the value holds characters that no header has".to_owned())?;
    Ok((name, value))
}

/// The value of the `Authorization` header for the provider.
fn key() -> Result<Option<HeaderValue>, CliError> {
    let Some(key) = env::var("OPENAI_API_KEY")
        .ok()
        .filter(|key| !key.trim().is_empty())
    else {
        return Ok(None);
    };
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|_| CliError::Usage {
            problem: "OPENAI_API_KEY holds characters that no key has".to_owned(),
            next: "set OPENAI_API_KEY to the key and nothing else".to_owned(),
        })?;
    value.set_sensitive(true);
    Ok(Some(value))
}
