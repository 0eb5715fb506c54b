//! What a call's end says about the provider: whether it is ill, busy, or not to blame.

use std::time::Duration;

use crate::providers::{ErrorKind, ProviderError};

/// What a call's end says about who was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, to the end.
    Well,
    /// It failed: counts against its breaker.
    Ill,
    /// It failed because it has too much to do: counts against its breaker, and asks for fewer calls at a time.
    Overloaded {
        /// How long it asks us to stay away.
        retry_after: Option<Duration>,
    },
    /// It is well, and asks for a slower pace: never counts against its breaker.
    Paced {
        /// How long it asks us to stay away.
        retry_after: Option<Duration>,
    },
    /// It is well, and refused our key.
    KeyRefused,
    /// It says nothing about the provider: the request was at fault, or nobody waited for the end.
    NoWord,
}

impl Verdict {
    /// What this failure says. 503 is "overloaded" in RFC 9110, section 15.6.4, and 529 is what Anthropic answers when it
    /// is (<https://docs.anthropic.com/en/api/errors>).
    #[must_use]
    pub fn of(error: &ProviderError) -> Self {
        Self::of_kind(error.kind())
    }

    /// What a failure of this kind says.
    #[must_use]
    pub fn of_kind(kind: &ErrorKind) -> Self {
        match *kind {
            ErrorKind::RateLimited { retry_after } => Self::Paced { retry_after },
            ErrorKind::Server {
                status: 503 | 529,
                retry_after,
            } => Self::Overloaded { retry_after },
            ErrorKind::Connect
            | ErrorKind::Timeout(_)
            | ErrorKind::Server { .. }
            | ErrorKind::Interrupted
            | ErrorKind::Malformed
            | ErrorKind::EmptyAnswer => Self::Ill,
            ErrorKind::Unauthorized { .. } => Self::KeyRefused,
            ErrorKind::Rejected { .. } | ErrorKind::TooLarge => Self::NoWord,
        }
    }

    /// Whether the breaker counts it as a success or as a failure; none when it does not count.
    #[must_use]
    pub const fn for_breaker(self) -> Option<bool> {
        match self {
            Self::Well => Some(true),
            Self::Ill | Self::Overloaded { .. } => Some(false),
            Self::Paced { .. } | Self::KeyRefused | Self::NoWord => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Phase;

    #[test]
    fn only_the_providers_own_failures_count_against_it() {
        let asked = Some(Duration::from_secs(3));
        let server = |status| ErrorKind::Server {
            status,
            retry_after: asked,
        };
        let table = [
            (ErrorKind::Connect, Some(false)),
            (ErrorKind::Timeout(Phase::FirstToken), Some(false)),
            (server(500), Some(false)),
            (server(529), Some(false)),
            (ErrorKind::Interrupted, Some(false)),
            (ErrorKind::Malformed, Some(false)),
            (ErrorKind::EmptyAnswer, Some(false)),
            (ErrorKind::RateLimited { retry_after: asked }, None),
            (ErrorKind::Rejected { status: 400 }, None),
            (ErrorKind::Unauthorized { status: 401 }, None),
            (ErrorKind::TooLarge, None),
        ];
        for (kind, counts) in table {
            assert_eq!(Verdict::of_kind(&kind).for_breaker(), counts, "{kind:?}");
        }
        assert_eq!(
            Verdict::of_kind(&server(503)),
            Verdict::Overloaded { retry_after: asked }
        );
        assert_eq!(Verdict::of_kind(&server(500)), Verdict::Ill);
        assert_eq!(Verdict::Well.for_breaker(), Some(true));
    }
}
