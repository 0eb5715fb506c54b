//! How a provider call fails: what the engine decides by, what the log keeps, and what the caller may read. Two
//! different texts, and neither ever holds the API key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared::domain::FailureCode;

use super::{Headroom, KeyIndex};

/// The part of a call that took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Name lookup, TCP, TLS.
    Connect,
    /// From sending the request to the first visible output.
    FirstToken,
    /// Between two events of a stream.
    BetweenTokens,
    /// The whole call.
    Total,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection was not made in time",
            Self::FirstToken => "no output came in time",
            Self::BetweenTokens => "its stream stalled",
            Self::Total => "the whole call took too long",
        })
    }
}

/// What went wrong, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection came about.
    Connect,
    /// It took too long.
    Timeout(Phase),
    /// 429.
    RateLimited {
        /// How long the provider asks us to stay away.
        retry_after: Option<Duration>,
    },
    /// The provider's own trouble: 5xx, 408, 425, or the same said in an error event.
    Server {
        /// The HTTP status, or what an error event stands for.
        status: u16,
        /// How long the provider asks us to stay away.
        retry_after: Option<Duration>,
    },
    /// Any other refusal of the request. The same request will be refused again.
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// The key was refused.
    Unauthorized {
        /// 401 or 403.
        status: u16,
    },
    /// The connection or the stream ended before the answer did.
    Interrupted,
    /// What came is not the protocol.
    Malformed,
    /// A finished answer with nothing in it.
    EmptyAnswer,
    /// The answer passed our bounds.
    TooLarge,
}

/// A failed provider call. `Display` is for the log; [`ProviderError::public_message`] for the caller.
#[derive(Debug, Clone)]
pub struct ProviderError(Box<Report>);

#[derive(Debug, Clone)]
struct Report {
    provider: Arc<str>,
    kind: ErrorKind,
    detail: String,
    quote: Option<String>,
    request_id: Option<String>,
    api_key_env: Option<String>,
    final_word: bool,
    headroom: Headroom,
    key: Option<KeyIndex>,
    other_keys: bool,
}

impl ProviderError {
    /// `detail` must be free of secrets already.
    pub(super) fn new(provider: Arc<str>, kind: ErrorKind, detail: String) -> Self {
        Self(Box::new(Report {
            provider,
            kind,
            detail,
            quote: None,
            request_id: None,
            api_key_env: None,
            final_word: false,
            headroom: Headroom::default(),
            key: None,
            other_keys: false,
        }))
    }

    /// The provider's own words, which the caller may read where they concern the request. Free of secrets already.
    pub(super) fn quoting(mut self, quote: Option<String>) -> Self {
        self.0.quote = quote;
        self
    }

    /// The id under which the provider's support will find the call.
    pub(super) fn request_id(mut self, id: Option<String>) -> Self {
        self.0.request_id = id;
        self
    }

    /// Where the key came from.
    pub(super) fn key_from(mut self, env: Option<String>) -> Self {
        self.0.api_key_env = env;
        self
    }

    /// The provider said `x-should-retry: false`.
    pub(super) fn final_word(mut self, is: bool) -> Self {
        self.0.final_word = is;
        self
    }

    /// What the refusal said of the limits.
    pub(super) fn headroom_left(mut self, headroom: Headroom) -> Self {
        self.0.headroom = headroom;
        self
    }

    /// The key that was used, and whether there are others that were not refused.
    pub(super) fn used_key(mut self, key: KeyIndex, other_keys: bool) -> Self {
        self.0.key = Some(key);
        self.0.other_keys = other_keys;
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The provider's name.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.0.provider
    }

    /// Whether the same call may succeed later, or elsewhere.
    #[must_use]
    pub fn retryable(&self) -> bool {
        let by_kind = match self.0.kind {
            ErrorKind::Rejected { .. } | ErrorKind::TooLarge => false,
            // The refused key is passed over from now on.
            ErrorKind::Unauthorized { status } => status == 401 && self.0.other_keys,
            ErrorKind::Connect
            | ErrorKind::Timeout(_)
            | ErrorKind::RateLimited { .. }
            | ErrorKind::Server { .. }
            | ErrorKind::Interrupted
            | ErrorKind::Malformed
            | ErrorKind::EmptyAnswer => true,
        };
        by_kind && !self.0.final_word
    }

    /// How long the provider asks us to stay away.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            ErrorKind::RateLimited { retry_after } | ErrorKind::Server { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// What the provider said of the limits of the key; all open unless it refused the call.
    #[must_use]
    pub fn headroom(&self) -> &Headroom {
        &self.0.headroom
    }

    /// The provider's id of the call; none when it gave none.
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The key the call was made with.
    #[must_use]
    pub fn key(&self) -> Option<KeyIndex> {
        self.0.key
    }

    /// The stable code in events, results and metrics.
    #[must_use]
    pub fn code(&self) -> FailureCode {
        match self.0.kind {
            ErrorKind::Connect => FailureCode::ProviderUnreachable,
            ErrorKind::Timeout(_) => FailureCode::ProviderTimeout,
            ErrorKind::RateLimited { .. } => FailureCode::ProviderRateLimited,
            ErrorKind::Server { .. } => FailureCode::ProviderServerError,
            ErrorKind::Rejected { .. } => FailureCode::ProviderRejected,
            ErrorKind::Unauthorized { .. } => FailureCode::ProviderUnauthorized,
            ErrorKind::Interrupted => FailureCode::ProviderInterrupted,
            ErrorKind::Malformed => FailureCode::ProviderMalformed,
            ErrorKind::EmptyAnswer => FailureCode::ProviderEmptyAnswer,
            ErrorKind::TooLarge => FailureCode::AnswerTooLarge,
        }
    }

    /// What the caller may read: what happened and what to do, nothing of how we reach the provider. The provider's
    /// words are quoted only where they are about the caller's own request.
    #[must_use]
    pub fn public_message(&self) -> String {
        let provider = self.provider();
        match &self.0.kind {
            ErrorKind::Connect => format!("The provider {provider} could not be reached."),
            ErrorKind::Timeout(phase) => format!("The provider {provider} did not answer in time: {phase}."),
            ErrorKind::RateLimited { .. } => {
                format!("The provider {provider} limits the rate of requests and refused this one.")
            }
            ErrorKind::Server { status, .. } => {
                format!("The provider {provider} failed on its side (status {status}).")
            }
            ErrorKind::Rejected { status } => {
                let said = self
                    .0
                    .quote
                    .as_ref()
                    .map(|quote| format!(": {quote}"))
                    .unwrap_or_default();
                format!("The provider {provider} refused the request (status {status}){said}")
            }
            ErrorKind::Unauthorized { status } => {
                let check = match &self.0.api_key_env {
                    Some(env) => format!("check {env}"),
                    None => "check the API key configured for it".to_owned(),
                };
                format!("The provider {provider} refused our credentials (status {status}): {check}.")
            }
            ErrorKind::Interrupted => {
                format!("The provider {provider} broke off before its answer was complete.")
            }
            ErrorKind::Malformed => {
                format!("The provider {provider} answered something that is not its protocol.")
            }
            ErrorKind::EmptyAnswer => format!("The provider {provider} gave an empty answer."),
            ErrorKind::TooLarge => format!("The answer of provider {provider} is larger than allowed."),
        }
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            provider,
            detail,
            quote,
            request_id,
            api_key_env,
            ..
        } = &*self.0;
        write!(f, "{provider}: {}: {detail}", self.code())?;
        if let (ErrorKind::Unauthorized { .. }, Some(env)) = (&self.0.kind, api_key_env) {
            write!(f, "; check {env}")?;
        }
        if let Some(quote) = quote {
            write!(f, "; it said: {quote}")?;
        }
        if let Some(id) = request_id {
            write!(f, " (request id {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ProviderError {}
