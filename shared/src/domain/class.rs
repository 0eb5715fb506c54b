//! Priority as clients give it, and the class the scheduler weighs.

use serde::{Deserialize, Serialize};

/// How urgent the client says a run is: 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Priority(u8);

impl Priority {
    /// The most urgent.
    pub const MAX: u8 = 100;

    /// None above 100.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        if value <= Self::MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    /// 50: the class `standard`.
    fn default() -> Self {
        Self(50)
    }
}

/// What the scheduler weighs. Derived from the priority; 8 : 3 : 1 by default, and none starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Priority 70 and above: somebody is watching.
    Interactive,
    /// Priority 30 to 69.
    Standard,
    /// Priority below 30: whenever there is room.
    Batch,
}

impl Class {
    /// Every class, most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Standard, Self::Batch];

    /// The name in the database, the API and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Standard => "standard",
            Self::Batch => "batch",
        }
    }

    /// Its share of claims while every class has work.
    #[must_use]
    pub const fn weight(self) -> u32 {
        match self {
            Self::Interactive => 8,
            Self::Standard => 3,
            Self::Batch => 1,
        }
    }
}

impl From<Priority> for Class {
    fn from(priority: Priority) -> Self {
        match priority.get() {
            70.. => Self::Interactive,
            30..70 => Self::Standard,
            ..30 => Self::Batch,
        }
    }
}

super::named::named!(Class, "class");
