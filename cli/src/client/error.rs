//! Why a request came to nothing: the server was not there, refused, or is not ours. Each says what to type next.

use crate::exit::Code;

use super::problem::Problem;
use super::server::Server;
use shared::domain::RunId;

/// What was asked of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// With this idempotency key: trying again with it is safe.
    Submit {
        /// The key that went with the request.
        idempotency_key: String,
    },
    Status(RunId),
    Result(RunId),
    Stream(RunId),
    Cancel(RunId),
    List,
    /// What the workers see of their providers.
    Providers,
    /// How the process is.
    Health,
}

impl Action {
    fn phrase(&self) -> &'static str {
        match self {
            Self::Submit { .. } => "submit the run",
            Self::Status(_) => "show the run",
            Self::Result(_) => "give the result",
            Self::Stream(_) => "stream the run",
            Self::Cancel(_) => "cancel the run",
            Self::List => "list runs",
            Self::Providers => "show the fleet's providers",
            Self::Health => "say that it is well",
        }
    }

    /// The command this action belongs to.
    fn command(&self) -> String {
        match self {
            Self::Submit { .. } => "submit".to_owned(),
            Self::Status(run) => format!("status {run}"),
            Self::Result(run) => format!("result {run}"),
            Self::Stream(run) => format!("tail {run}"),
            Self::Cancel(run) => format!("cancel {run}"),
            Self::List => "list".to_owned(),
            Self::Providers => "providers list".to_owned(),
            Self::Health => "health".to_owned(),
        }
    }
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.sentence())]
pub(crate) struct ClientError {
    pub(crate) action: Action,
    pub(crate) cause: Box<Cause>,
    /// The address that was asked.
    server: String,
    /// The command to type next.
    pub(crate) next: String,
}

#[derive(Debug)]
pub(crate) enum Cause {
    /// No connection came about: the server has seen nothing.
    Unreachable(String),
    /// The connection broke, or nothing came: what the server did is not known.
    BrokeOff(String),
    /// It answered, and said no.
    Refused(Problem),
    /// It answered something that is not this API.
    NotOurs(String),
}

impl ClientError {
    pub(crate) fn new(action: Action, cause: Cause, server: &Server) -> Self {
        let next = next(&action, &cause, server);
        Self {
            action,
            cause: Box::new(cause),
            server: server.url().to_string(),
            next,
        }
    }

    pub(crate) fn code(&self) -> Code {
        match &*self.cause {
            // Container engines know two ends of a health check.
            _ if self.action == Action::Health => Code::Error,
            Cause::Unreachable(_) | Cause::BrokeOff(_) => Code::Unreachable,
            Cause::Refused(problem) if matches!(problem.status, 401 | 403) => Code::Auth,
            Cause::Refused(_) | Cause::NotOurs(_) => Code::Error,
        }
    }

    /// Whether the server may think otherwise in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(&*self.cause, Cause::Refused(problem) if matches!(problem.status, 429 | 502 | 503 | 504))
    }

    /// Whether the server was not there.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(&*self.cause, Cause::Unreachable(_) | Cause::BrokeOff(_))
    }

    /// Seconds the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match &*self.cause {
            Cause::Refused(problem) => problem.retry_after,
            _ => None,
        }
    }

    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let Cause::Refused(problem) = &*self.cause else {
            return Vec::new();
        };
        let mut facts = vec![("status", problem.status.to_string())];
        facts.extend(problem.code.clone().map(|code| ("code", code)));
        facts.extend(problem.field.clone().map(|field| ("field", field)));
        facts.extend(problem.request_id.clone().map(|id| ("request_id", id)));
        facts.extend(
            problem
                .retry_after
                .map(|seconds| ("retry_after", format!("{seconds} s"))),
        );
        facts
    }

    fn sentence(&self) -> String {
        let (server, phrase) = (&self.server, self.action.phrase());
        match &*self.cause {
            Cause::Unreachable(why) => format!("cannot reach {server} to {phrase}: {why}"),
            Cause::BrokeOff(why) => {
                format!("the connection to {server} broke off while it was asked to {phrase}: {why}")
            }
            Cause::Refused(problem) => format!("the server did not {phrase}: {}", problem.why()),
            Cause::NotOurs(why) => {
                format!("{server} does not answer like a control plane, asked to {phrase}: {why}")
            }
        }
    }
}

fn next(action: &Action, cause: &Cause, server: &Server) -> String {
    let again = || server.command(&action.command());
    let elsewhere = || {
        format!(
            "curl {}    (and check --server / MCP_SERVER)",
            server.at(&["health"])
        )
    };
    match cause {
        Cause::Unreachable(_) if server.is_local() => {
            "mcpctl up    (starts one here; or point --server / MCP_SERVER to yours)".to_owned()
        }
        Cause::Unreachable(_) | Cause::NotOurs(_) => elsewhere(),
        Cause::BrokeOff(_) => match action {
            Action::Submit { idempotency_key } => format!(
                "the same command with `--idempotency-key {idempotency_key}` (if the run was accepted, it is not made twice)"
            ),
            _ => again(),
        },
        Cause::Refused(problem) => match problem.status {
            401 if server.has_key() => "check the key in MCP_API_KEY or --api-key-file FILE".to_owned(),
            401 => "set MCP_API_KEY, or pass --api-key-file FILE".to_owned(),
            403 => "use a key that may do this: MCP_API_KEY or --api-key-file FILE".to_owned(),
            404 if problem.code.as_deref() == Some("run_not_found") => server.command("list"),
            404 | 405 => elsewhere(),
            409 => match action {
                Action::Cancel(run) => server.command(&format!("result {run}")),
                _ => again(),
            },
            429 | 503 => match problem.retry_after {
                Some(seconds) => format!("the same command again in {seconds} s"),
                None => "the same command again in a moment".to_owned(),
            },
            300..400 => "set --server / MCP_SERVER to where it has moved".to_owned(),
            400..500 => match action {
                Action::Submit { .. } => "mcpctl submit --help".to_owned(),
                Action::List => "mcpctl list --help".to_owned(),
                _ => server.command("list"),
            },
            _ => match &problem.request_id {
                Some(id) => format!("look for {id} in the server's log"),
                None => again(),
            },
        },
    }
}
