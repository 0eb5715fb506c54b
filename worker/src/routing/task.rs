//! What `auto` means for a task type: how good a model has to be. Among those that are good enough the policy decides.

use shared::catalog::Quality;

/// How demanding a task type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Demand {
    /// Turning one text into another: any model whose tier is known.
    Light,
    /// Conversation, and every task type we do not know: tier 2 and above.
    Ordinary,
    /// Code, plans, proofs: tier 4 and above.
    Hard,
}

impl Demand {
    pub(super) const ALL: [Self; 3] = [Self::Light, Self::Ordinary, Self::Hard];

    /// The demand of a task type.
    pub(super) fn of(task_type: &str) -> Self {
        match task_type {
            "classify" | "classification" | "extract" | "extraction" | "moderation" | "summarize"
            | "summary" | "title" | "transform" | "translate" | "translation" => Self::Light,
            "agent" | "analysis" | "code" | "fix" | "math" | "plan" | "reasoning" | "workflow" => Self::Hard,
            _ => Self::Ordinary,
        }
    }

    /// Whether a model of this tier is good enough.
    pub(super) fn met_by(self, quality: Option<Quality>) -> bool {
        let least = match self {
            Self::Light => 1,
            Self::Ordinary => 2,
            Self::Hard => 4,
        };
        quality.is_some_and(|quality| quality.tier() >= least)
    }
}
