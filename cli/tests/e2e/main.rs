//! The whole product as its users have it: real processes of `mcpctl`, real databases, real sockets. Only the model
//! provider is a double, and it speaks the real protocol over HTTP.
//!
//! Each file is a campaign. Those that are told with `both_modes!` run once against `mcpctl up` (SQLite) and once against
//! `mcpctl api` + `mcpctl worker` (Postgres).
#![cfg(test)]

mod stage;

mod faults;
mod idempotency;
mod limits;
mod street;
