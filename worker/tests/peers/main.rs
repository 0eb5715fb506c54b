//! The dialects against a server that this project did not write: llmposter, which speaks the wire formats of OpenAI,
//! Anthropic and Gemini by the providers' published specifications. `scripts/check-dialects` installs it and runs this;
//! a plain `cargo test` leaves it out, and without the program it fails.
//!
//! Peculiarities of llmposter 0.5.0, none of which the providers share:
//! - a stream in OpenAI's form never counts tokens, also where `stream_options.include_usage` asks for it;
//! - tokens are counted at four bytes each, of the last message of the user alone;
//! - the arguments of a tool come in one piece;
//! - a refusal cannot be streamed: that is status 400;
//! - Gemini's functions have no `id`, as the API had it before Gemini 3.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed test is meant to panic; clippy.toml's exception ends at functions that are not tests themselves"
)]

mod answers;
mod asking;
mod failures;
mod peer;
