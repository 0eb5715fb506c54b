//! The foundation both wings stand on. From the ground up: `domain` (pure), `ledger` (the only truth),
//! `dispatch` and `feed` side by side (hints and committed events, either may lose everything), `watch`
//! (one ordered stream per run). `config`, `telemetry` and `catalog` stand apart; `redis_link` is the
//! connection that the fast forms of `dispatch` and `feed` share. No arrow runs back up.

pub mod catalog;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod domain;
pub mod feed;
pub mod ledger;
pub mod redis_link;
pub mod telemetry;
pub mod watch;
