//! What workers tell each other about breakers: the ledger carries it.

pub use shared::domain::{BreakerNews, NewsState};
