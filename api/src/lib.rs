//! HTTP in, HTTP out. This wing parses what clients send, admits it, hands it to the ledger, and renders what the
//! ledger and the log say. It keeps nothing of its own: any number of processes can stand side by side, and a client
//! may go on with another one at any moment.
//!
//! It never executes a run, never calls a provider, and never names the database.

mod acceptor;
mod admission;
#[cfg(test)]
#[path = "../tests/stage/answered.rs"]
mod answered;
mod app;
mod authority;
mod body;
mod cancellation;
mod drain;
mod figures;
mod fleet;
mod guard;
mod idempotency_key;
mod intake;
mod lingering;
mod openapi;
mod problem;
mod request_id;
mod routes;
mod serve;
#[cfg(test)]
#[path = "../tests/stage/mod.rs"]
mod stage;

pub use admission::ProviderFacts;
pub use app::ApiParts;
pub use drain::Drain;
pub use openapi::openapi_json;
pub use serve::serve;
