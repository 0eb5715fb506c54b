//! How a command ends when it does not end well: the typed error, its exit code, and what the reader is told.
//!
//! The codes are public: scripts branch on them. They are listed in `mcpctl --help`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use shared::domain::{RunId, Status};

use crate::client::{ClientError, FollowError};

/// The exit codes. (2 is clap's own, too.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Also when the reader of stdout has seen enough and left.
    Fine = 0,
    Error = 1,
    Usage = 2,
    RunFailed = 3,
    Auth = 4,
    Unreachable = 5,
    /// As `timeout(1)` has it.
    WaitedTooLong = 124,
    /// 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// What was typed, or a file it names, cannot be used.
    #[error("{problem}")]
    Usage { problem: String, next: String },
    /// The server refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The run could not be followed to its end.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The run ended without an answer.
    #[error("the run {}", ending(*.status, .message.as_deref()))]
    RunEnded {
        run: RunId,
        status: Status,
        code: Option<String>,
        message: Option<String>,
        next: String,
    },
    /// Its result was asked for before it had one.
    #[error("the run has no result yet: it is {status}")]
    Unfinished {
        run: RunId,
        status: Status,
        next: String,
    },
    /// `--wait` ended before the run did.
    #[error("not finished after {}: the run goes on", seconds(*.waited))]
    WaitedTooLong {
        run: RunId,
        waited: Duration,
        next: String,
    },
    /// Ctrl-C.
    #[error("detached: the run goes on")]
    Detached { run: RunId, next: String },
    /// Nobody reads stdout any more.
    #[error("nobody reads the output")]
    NobodyReads,
    /// Stdout cannot be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// Something of this process could not be started, or broke down.
    #[error("{what}: {source}")]
    Service {
        what: String,
        source: Box<dyn std::error::Error + Send + Sync>,
        next: String,
    },
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::Output(error)
        }
    }
}

/// What the reader is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// What failed and why.
    pub(crate) message: String,
    /// `Fine` ends without a word; `Interrupted` is what was asked for, not an error.
    pub(crate) exit: Code,
    /// Named details: `code`, `field`, `request_id`, ...
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What to type next.
    pub(crate) next: Option<String>,
}

impl CliError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Usage { .. } => Code::Usage,
            Self::Client(error) => error.code(),
            Self::Follow(error) => error.code(),
            Self::RunEnded { .. } => Code::RunFailed,
            Self::WaitedTooLong { .. } => Code::WaitedTooLong,
            Self::Detached { .. } => Code::Interrupted,
            Self::NobodyReads => Code::Fine,
            Self::Unfinished { .. } | Self::Output(_) | Self::Service { .. } => Code::Error,
        }
    }

    pub(crate) fn report(&self) -> Report {
        let (facts, next) = match self {
            Self::Usage { next, .. } | Self::Service { next, .. } => (Vec::new(), Some(next.clone())),
            Self::Client(error) => (error.facts(), Some(error.next.clone())),
            Self::Follow(error) => (error.facts(), Some(error.next().to_owned())),
            Self::RunEnded { run, code, next, .. } => {
                let mut facts = vec![("run", run.to_string())];
                facts.extend(code.clone().map(|code| ("code", code)));
                (facts, Some(next.clone()))
            }
            Self::Unfinished { run, next, .. }
            | Self::WaitedTooLong { run, next, .. }
            | Self::Detached { run, next } => (vec![("run", run.to_string())], Some(next.clone())),
            Self::NobodyReads | Self::Output(_) => (Vec::new(), None),
        };
        Report {
            message: self.to_string(),
            exit: self.code(),
            facts,
            next,
        }
    }
}

fn ending(status: Status, message: Option<&str>) -> String {
    let ended = match status {
        Status::Cancelled => "was cancelled",
        _ => "failed",
    };
    message.map_or_else(|| ended.to_owned(), |message| format!("{ended}: {message}"))
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}
