//! The way in over real sockets: what is accepted, what is refused, and what the ledger holds afterwards. There is no
//! worker: the tests write to the ledger what one would.

// Tells clippy that helpers, too, are test code.
#![cfg(test)]

mod accepting;
#[path = "../stage/answered.rs"]
mod answered;
mod authority;
mod bad_input;
mod cancelling;
mod depth;
mod estimates;
mod guard;
mod house;
mod idempotency;
mod ledger_away;
mod listing;
mod results;
#[path = "../stage/mod.rs"]
mod stage;
