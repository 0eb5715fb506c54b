//! What a run is made of. Each kind has one executor.

use serde::{Deserialize, Serialize};

/// The kind of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Messages in, one answer out.
    Chat,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::Chat];

    /// The name in the database, the API and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
        }
    }
}

super::named::named!(Kind, "kind");
