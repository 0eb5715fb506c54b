//! The OpenAI client against a provider that misbehaves in every way we know: over real sockets, against the
//! simulator where it has the fault, and against a server of a few lines where the bytes themselves matter.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed test is meant to panic; clippy.toml's exception ends at functions that are not tests themselves"
)]

mod calling;
mod cancelling;
mod faults;
mod timeouts;
mod wire;
