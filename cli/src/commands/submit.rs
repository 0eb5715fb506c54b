//! `mcpctl submit`: hands in a prompt, and follows it, waits for it, or lets it go.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use super::following::{Following, verdict};
use super::key_value::{key_value, object};
use super::narrator::Manner;
use super::{begin, result, summary};
use crate::args::{Format, OutputArgs, PatienceArg, ServerArgs, span};
use crate::client::{Accepted, Client, NewRun, Outcome, Reply};
use crate::exit::CliError;
use crate::output::Screen;

const HELP: &str = "\
What is printed:
  --follow   the answer as it arrives; -o json: the accepted run, then one event per line.
             Where the server has to start the answer over, a line on stderr says so, and the
             answer begins anew, whole, on a new line. The exit code is not affected.
  --wait     the whole answer once it is there; -o json: the result
  --detach   the run's id; -o json: the accepted run
Without any of them: --follow on a terminal, --detach otherwise.

A prompt that begins with `-` goes after `--`: mcpctl submit -- '-1 + 1 = ?'";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct SubmitArgs {
    /// The prompt; `-` reads it from stdin, byte for byte
    #[arg(conflicts_with = "message_file", required_unless_present = "message_file")]
    pub(crate) prompt: Option<String>,
    /// A file with the messages of a conversation instead: a JSON array as OpenAI's chat API takes it
    #[arg(long, value_name = "FILE")]
    message_file: Option<PathBuf>,

    /// Print the answer as it arrives
    #[arg(long, group = "mode")]
    follow: bool,
    /// Print the answer once it is there; exit 124 when it is not within SECONDS
    #[arg(long, group = "mode", value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = span)]
    pub(crate) wait: Option<Option<Duration>>,
    /// Print the run's id and let it run
    #[arg(long, group = "mode")]
    detach: bool,

    /// The model; `auto` lets the server choose
    #[arg(long, help_heading = "Request")]
    model: Option<String>,
    /// What the prompt is for: chat, code, ...
    #[arg(long, help_heading = "Request", value_name = "TYPE")]
    task_type: Option<String>,
    /// 0 to 100: from 70 interactive, below 30 batch
    #[arg(long, help_heading = "Request", value_parser = clap::value_parser!(u8).range(0..=100))]
    priority: Option<u8>,
    /// The answer's length at most
    #[arg(long, help_heading = "Request", value_name = "N")]
    max_tokens: Option<u64>,
    /// 0 to 2
    #[arg(long, help_heading = "Request", value_name = "T", value_parser = temperature, allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// The provider to ask
    #[arg(long, help_heading = "Request", value_name = "NAME")]
    provider: Option<String>,
    /// Fail the run when it has not ended after so long (`30s`, `5m`, `2h`)
    #[arg(long, help_heading = "Request", value_name = "TIME", value_parser = span)]
    deadline: Option<Duration>,
    /// On whose behalf: your name for the user, of which the server keeps a keyed hash
    #[arg(long, help_heading = "Request", value_name = "ID")]
    user: Option<String>,
    /// Kept with the run: KEY=VALUE, repeatable; a VALUE that is JSON is taken as JSON
    #[arg(long, help_heading = "Request", value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, Value)>,
    /// Given to the provider as it is: KEY=VALUE, repeatable; a VALUE that is JSON is taken as JSON
    #[arg(long = "param", help_heading = "Request", value_name = "KEY=VALUE", value_parser = key_value)]
    params: Vec<(String, Value)>,
    /// What to do when the worker or the provider dies in the middle of the answer
    #[arg(long, help_heading = "Request", value_parser = ["restart", "fail", "continue"])]
    on_interruption: Option<String>,
    /// The same key with the same request is the same run, however often it is submitted
    #[arg(long, help_heading = "Request", value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    patience: PatienceArg,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Follow,
    Wait(Option<Duration>),
    Detach,
}

pub(crate) async fn run(args: SubmitArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let mode = args.mode(screen.stdout_is_terminal);
    let patience = args.patience.reconnect_for;
    let key = args
        .idempotency_key
        .clone()
        .unwrap_or_else(|| format!("mcpctl-{:032x}", rand::random::<u128>()));
    let body = args.into_body()?;
    screen.busy("submitting".to_owned());
    let accepted = client.submit(&body, &key).await?;
    screen.rest();
    match mode {
        Mode::Detach => detach(&accepted, &mut screen).await,
        Mode::Follow => follow(&client, &accepted, patience, &mut screen).await,
        Mode::Wait(limit) => wait(&client, &accepted.value, limit, patience, &mut screen).await,
    }
}

async fn detach(accepted: &Reply<Accepted>, screen: &mut Screen) -> Result<(), CliError> {
    if screen.format == Format::Json {
        return Ok(screen.json(&accepted.raw).await?);
    }
    screen.line(&accepted.value.request_id.to_string()).await?;
    Ok(screen
        .note(&summary::accepted(&accepted.value, accepted.replayed))
        .await?)
}

async fn follow(
    client: &Client,
    accepted: &Reply<Accepted>,
    patience: Duration,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let manner = match screen.format {
        Format::Json => Manner::Json,
        Format::Text => Manner::Answer,
    };
    if screen.format == Format::Json {
        screen.json(&accepted.raw).await?;
    } else {
        screen
            .note(&summary::accepted(&accepted.value, accepted.replayed))
            .await?;
    }
    let run = accepted.value.request_id;
    let following = Following {
        run,
        after: None,
        manner,
        patience,
        limit: None,
        known: true,
    };
    let end = following.to_the_end(client, screen).await?;
    verdict(client, run, end.status, end.error)
}

async fn wait(
    client: &Client,
    accepted: &Accepted,
    limit: Option<Duration>,
    patience: Duration,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let run = accepted.request_id;
    let following = Following {
        run,
        after: None,
        manner: Manner::Silent,
        patience,
        limit,
        known: true,
    };
    following.to_the_end(client, screen).await?;
    match client.result(run).await? {
        Outcome::Ended(reply) => result::show(client, run, &reply, screen).await,
        Outcome::Unfinished(reply) => Err(result::unfinished(client, run, reply.value.status)),
    }
}

impl SubmitArgs {
    fn mode(&self, terminal: bool) -> Mode {
        match self.wait {
            Some(limit) => Mode::Wait(limit),
            None if self.follow || (terminal && !self.detach) => Mode::Follow,
            None => Mode::Detach,
        }
    }

    fn into_body(self) -> Result<NewRun, CliError> {
        let messages = self.message_file.as_deref().map(read_messages).transpose()?;
        let prompt = match self.prompt.as_deref() {
            Some("-") => Some(read_stdin()?),
            _ => self.prompt,
        };
        Ok(NewRun {
            user_id: self.user,
            prompt,
            messages,
            task_type: self.task_type,
            model: self.model,
            priority: self.priority,
            provider_hint: self.provider,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            deadline_ms: self
                .deadline
                .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            metadata: fields("--metadata", self.metadata)?,
            on_interruption: self.on_interruption,
            params: fields("--param", self.params)?,
        })
    }
}

fn temperature(text: &str) -> Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or("expected a number from 0 to 2")
}

fn fields(flag: &str, pairs: Vec<(String, Value)>) -> Result<Map<String, Value>, CliError> {
    object(pairs).map_err(|key| usage(format!("{flag} {key}=... is given twice"), "mcpctl submit --help"))
}

fn read_stdin() -> Result<String, CliError> {
    let mut prompt = String::new();
    io::stdin().lock().read_to_string(&mut prompt).map_err(|error| {
        usage(
            format!("cannot read the prompt from stdin: {error}"),
            "echo 'Hello' | mcpctl submit -",
        )
    })?;
    Ok(prompt)
}

fn read_messages(path: &Path) -> Result<Value, CliError> {
    let bad = |why: String| usage(format!("--message-file {}: {why}", path.display()), MESSAGES);
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let messages: Value = serde_json::from_str(&text).map_err(|error| bad(format!("not JSON: {error}")))?;
    if messages.is_array() {
        Ok(messages)
    } else {
        Err(bad("not a JSON array".to_owned()))
    }
}

const MESSAGES: &str = r#"a file such as [{"role": "user", "content": "Hello"}]"#;

fn usage(problem: String, next: &str) -> CliError {
    CliError::Usage {
        problem,
        next: next.to_owned(),
    }
}
