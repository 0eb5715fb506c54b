//! The whole product as its users have it: real processes of `mcpctl`, real databases, real sockets. Only the model
//! provider is a double, and it speaks the real protocol over HTTP.
//!
//! Each file is a campaign. Those that are told with `all_modes!` run against `mcpctl up` (SQLite), against `mcpctl api` +
//! `mcpctl worker` (Postgres), and against these with Redis as their fast path; those told with `cluster_modes!` against
//! the latter two.
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
mod redis_away;
mod rescue;
mod street;
mod stuck_watcher;
mod zombie;
