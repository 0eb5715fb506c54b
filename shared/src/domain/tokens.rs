//! The approximation used for estimates before a provider has counted, where no vocabulary is at hand.

/// Tokens in a text of so many bytes: one per four bytes, rounded up. The rule of thumb OpenAI publishes for English
/// ("1 token ~= 4 chars"). How far it is from a real vocabulary: `docs/providers.md`.
#[must_use]
pub fn approximate(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX)
}

/// Tokens a message costs beside its text (role, separators).
pub const PER_MESSAGE: u32 = 4;

/// Output expected of a chat run that sets no `max_tokens`, while too few answers of its task type are known.
pub const DEFAULT_OUTPUT: u32 = 1_024;
