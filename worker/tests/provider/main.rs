//! The clients against a provider that misbehaves in every way we know: over real sockets, against the
//! simulator where it has the fault, and against a server of a few lines where the bytes themselves matter.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed test is meant to panic; clippy.toml's exception ends at functions that are not tests themselves"
)]

mod anthropic;
mod azure;
mod bedrock;
mod calling;
mod cancelling;
mod cohere;
mod dialects;
mod faults;
mod gemini;
mod keys;
mod sigv4;
mod timeouts;
mod vertex;
mod wire;
