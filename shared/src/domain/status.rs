//! The states of a run and the ways between them. The database repeats both as CHECKs and guards.
//!
//! ```text
//!   queued ──claim──▶ running ──settle──▶ succeeded | failed | cancelled
//!     ▲                  │
//!     └─retry, release,──┘      queued ──cancel, deadline──▶ cancelled | failed
//!       dead worker
//! ```

use serde::{Deserialize, Serialize};

/// Where a run is. A terminal status is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Committed, waiting for a worker (perhaps until `not_before`).
    Queued,
    /// Held by exactly one worker incarnation.
    Running,
    /// Ended with an answer.
    Succeeded,
    /// Ended without one.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name in the database, the API and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a run may go from here to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Cancelled | Self::Failed),
            Self::Running => !matches!(next, Self::Running),
            Self::Succeeded | Self::Failed | Self::Cancelled => false,
        }
    }
}

super::named::named!(Status, "status");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_is_final_and_nothing_succeeds_without_running() {
        for from in Status::ALL {
            for to in Status::ALL {
                if from.is_terminal() {
                    assert!(!from.may_become(to), "{from} → {to}");
                }
            }
            assert!(!from.may_become(from), "{from} → itself");
        }
        assert!(!Status::Queued.may_become(Status::Succeeded));
        assert!(Status::Running.may_become(Status::Queued));
    }

    #[test]
    fn names_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
        assert!(
            "done"
                .parse::<Status>()
                .unwrap_err()
                .to_string()
                .contains("queued, running")
        );
    }
}
