//! What happens to a run whose worker or provider died in the middle of its answer.

use serde::{Deserialize, Serialize};

/// The run's policy once output was visible. Before that an interruption is always a silent restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// Begin the answer again; the rewind is announced by `attempt.started{void_after}`.
    #[default]
    Restart,
    /// Go on from the committed text with a provider that can be given an answer's beginning; nothing is rewound. Where
    /// the worker died, or none of the candidates can, it is begun again as with `Restart`.
    Continue,
    /// Fail with a retryable error: for readers that cannot take back what they showed.
    Fail,
}

impl Interruption {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Restart, Self::Continue, Self::Fail];

    /// The name in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Continue => "continue",
            Self::Fail => "fail",
        }
    }
}

super::named::named!(Interruption, "interruption policy");
