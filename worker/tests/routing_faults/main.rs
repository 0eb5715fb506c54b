//! Providers that misbehave, behind a real worker on a real ledger, over real sockets: what a watcher sees of each fault,
//! what the log says, what the breaker did, and what was accounted. Nobody stands in but the providers.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed test is meant to panic; clippy.toml's exception ends at functions that are not tests themselves"
)]

mod accounting;
mod continuing;
mod fleet;
mod hedging;
mod outage;
mod reloading;
mod stage;
mod table;
mod waiting;
