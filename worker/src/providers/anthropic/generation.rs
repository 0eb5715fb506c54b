//! What a model takes, by its version: Anthropic changed that with every generation, and refuses with a 400 what a
//! model no longer takes. Versions are compared rather than names, so that a model that comes later is treated like
//! the newest that is known.
//!
//! Sources, all in Anthropic's documentation: "Troubleshooting thinking" (its table of models), "Prefill not
//! supported" and "Structured outputs".

/// A version: `(4, 6)` for Claude Opus 4.6.
type Version = (u32, u32);

/// No version was named: newer than any.
const NEWEST: Version = (u32::MAX, 0);

/// What is known of a model from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::providers) struct Generation {
    /// None for a model that is not Claude: another vendor's behind the same protocol.
    claude: Option<Version>,
    /// It thinks whatever it is told.
    always_thinks: bool,
}

impl Generation {
    /// Of the model with this name: `claude-sonnet-4-5-20250929`, `claude-3.7-sonnet`, `anthropic.claude-opus-4-6-v1`.
    pub(in crate::providers) fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let mut words = model
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .skip_while(|word| *word != "claude")
            .peekable();
        if words.next().is_none() {
            return Self {
                claude: None,
                always_thinks: false,
            };
        }
        let preview = model.contains("mythos-preview");
        let version = match words.find_map(part_of_version) {
            // It behaves like 4.7.
            None if preview => (4, 7),
            None => NEWEST,
            Some(major) => (major, words.next().and_then(part_of_version).unwrap_or(0)),
        };
        Self {
            claude: Some(version),
            always_thinks: model.contains("fable") || model.contains("mythos"),
        }
    }

    /// Goes on from an assistant message that stands last.
    pub(in crate::providers) fn goes_on(self) -> bool {
        self.claude.is_some_and(|version| version < (4, 6))
    }

    /// Takes `temperature`, `top_p` and `top_k`.
    pub(in crate::providers) fn samples(self) -> bool {
        self.claude.is_none_or(|version| version < (4, 7))
    }

    /// Takes either `temperature` or `top_p`.
    pub(in crate::providers) fn samples_one_way(self) -> bool {
        self.claude.is_some_and(|version| version >= (4, 1))
    }

    /// Decides itself how much to think: `thinking: {type: adaptive}` and an effort.
    pub(in crate::providers) fn adapts(self) -> bool {
        self.claude.is_some_and(|version| version >= (4, 6))
    }

    /// Thinks within a budget of tokens.
    pub(in crate::providers) fn thinks_by_budget(self) -> bool {
        self.claude.is_none_or(|version| version >= (3, 7)) && !self.adapts()
    }

    /// Can be told not to think.
    pub(in crate::providers) fn may_stop_thinking(self) -> bool {
        !self.always_thinks
    }

    /// Knows the effort `xhigh`.
    pub(in crate::providers) fn knows_xhigh(self) -> bool {
        self.claude.is_some_and(|version| version >= (4, 7))
    }

    /// Takes `output_config.format`.
    pub(in crate::providers) fn keeps_to_schemas(self) -> bool {
        self.claude.is_some_and(|version| version >= (4, 5))
    }
}

/// A number of one or two digits: eight are a date.
fn part_of_version(word: &str) -> Option<u32> {
    if word.len() <= 2 { word.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_names() {
        for (name, version) in [
            ("claude-3-7-sonnet-20250219", (3, 7)),
            ("claude-3.5-haiku", (3, 5)),
            ("claude-3-opus-20240229", (3, 0)),
            ("claude-opus-4-20250514", (4, 0)),
            ("claude-4-sonnet", (4, 0)),
            ("claude-opus-4-1-20250805", (4, 1)),
            ("Claude-Sonnet-4.5", (4, 5)),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", (4, 5)),
            ("claude-sonnet-4@20250514", (4, 0)),
            ("claude-opus-4-6-20260205", (4, 6)),
            ("claude-mythos-preview", (4, 7)),
            ("claude-fable-5-1", (5, 1)),
            ("claude-opus-5", (5, 0)),
            ("claude-next", NEWEST),
        ] {
            assert_eq!(Generation::of(name).claude, Some(version), "{name}");
        }
        assert_eq!(Generation::of("MiniMax-M2.5").claude, None);
    }

    #[test]
    fn abilities_change_at_their_versions() {
        // Goes on, samples, one way, adapts, budget, may stop thinking, schemas.
        for (name, abilities) in [
            ("claude-3-5-haiku", [true, true, false, false, false, true, false]),
            ("claude-3-7-sonnet", [true, true, false, false, true, true, false]),
            ("claude-opus-4-1", [true, true, true, false, true, true, false]),
            ("claude-haiku-4-5", [true, true, true, false, true, true, true]),
            ("claude-opus-4-6", [false, true, true, true, false, true, true]),
            ("claude-opus-4-7", [false, false, true, true, false, true, true]),
            ("claude-fable-5", [false, false, true, true, false, false, true]),
            ("MiniMax-M2", [false, true, false, false, true, true, false]),
        ] {
            let of = Generation::of(name);
            let known = [
                of.goes_on(),
                of.samples(),
                of.samples_one_way(),
                of.adapts(),
                of.thinks_by_budget(),
                of.may_stop_thinking(),
                of.keeps_to_schemas(),
            ];
            assert_eq!(known, abilities, "{name}");
        }
    }
}
