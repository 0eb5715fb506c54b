//! The whole product as its users have it: real processes of `mcpctl`, real databases, real sockets. Only the model
//! provider is a double, and it speaks the real protocol over HTTP.
//!
//! Each file is a campaign. Those that are told with `both_modes!` run once against `mcpctl up` (SQLite) and once against
//! `mcpctl api` + `mcpctl worker` (Postgres).
#![cfg(test)]

mod stage;

mod access;
mod bad_input;
mod cancel;
mod cli;
mod crash_points;
mod drain;
mod fairness;
mod faults;
mod idempotency;
mod ledger_away;
mod limits;
mod rescue;
mod street;
mod stuck_watcher;
mod zombie;
