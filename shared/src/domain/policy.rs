//! What a run's owner cares about most when a provider is chosen.

use serde::{Deserialize, Serialize};

/// How candidates are weighed against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// A bit of everything.
    #[default]
    Balanced,
    /// The lowest expected cost.
    Cheapest,
    /// The shortest expected time to the whole answer.
    Fastest,
    /// The best model.
    Quality,
    /// A provider beside us if one can, else as `balanced`.
    LocalFirst,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 5] = [
        Self::Balanced,
        Self::Cheapest,
        Self::Fastest,
        Self::Quality,
        Self::LocalFirst,
    ];

    /// Its name in requests, events and settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::Cheapest => "cheapest",
            Self::Fastest => "fastest",
            Self::Quality => "quality",
            Self::LocalFirst => "local_first",
        }
    }
}

super::named::named!(Policy, "routing policy");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for policy in Policy::ALL {
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        assert!("best".parse::<Policy>().is_err());
    }
}
