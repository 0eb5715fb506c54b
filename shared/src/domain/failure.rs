//! Why runs fail: stable codes for machines. The message beside a code is for people and may change.

use serde::{Deserialize, Serialize};

/// The code of a `run.failed` event and of a failed result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The run's deadline passed.
    DeadlineExceeded,
    /// Its answer was interrupted and its policy is `fail`.
    Interrupted,
    /// Its workers died too often while holding it.
    CrashedTooOften,
    /// No provider offers the model, or none can take this request.
    NoProvider,
    /// The provider could not be reached.
    ProviderUnreachable,
    /// The provider did not answer in time.
    ProviderTimeout,
    /// The provider said 429, again and again.
    ProviderRateLimited,
    /// The provider failed on its side.
    ProviderServerError,
    /// The provider refused the request.
    ProviderRejected,
    /// The provider refused our key.
    ProviderUnauthorized,
    /// The provider broke off in the middle of an answer.
    ProviderInterrupted,
    /// The provider answered something that is not its protocol.
    ProviderMalformed,
    /// The provider answered nothing.
    ProviderEmptyAnswer,
    /// The answer is larger than a run may carry.
    AnswerTooLarge,
    /// A defect of this program; the log has more.
    Internal,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::DeadlineExceeded,
        Self::Interrupted,
        Self::CrashedTooOften,
        Self::NoProvider,
        Self::ProviderUnreachable,
        Self::ProviderTimeout,
        Self::ProviderRateLimited,
        Self::ProviderServerError,
        Self::ProviderRejected,
        Self::ProviderUnauthorized,
        Self::ProviderInterrupted,
        Self::ProviderMalformed,
        Self::ProviderEmptyAnswer,
        Self::AnswerTooLarge,
        Self::Internal,
    ];

    /// The name in the database, the API and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Interrupted => "interrupted",
            Self::CrashedTooOften => "crashed_too_often",
            Self::NoProvider => "no_provider",
            Self::ProviderUnreachable => "provider_unreachable",
            Self::ProviderTimeout => "provider_timeout",
            Self::ProviderRateLimited => "provider_rate_limited",
            Self::ProviderServerError => "provider_server_error",
            Self::ProviderRejected => "provider_rejected",
            Self::ProviderUnauthorized => "provider_unauthorized",
            Self::ProviderInterrupted => "provider_interrupted",
            Self::ProviderMalformed => "provider_malformed",
            Self::ProviderEmptyAnswer => "provider_empty_answer",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Internal => "internal",
        }
    }
}

super::named::named!(FailureCode, "failure code");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for code in FailureCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
            assert_eq!(code.as_str().parse(), Ok(code));
        }
    }
}
