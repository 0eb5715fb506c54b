//! The tables as sea-orm sees them, for ordinary queries. Private to the ledger: outside, there are records.

pub(super) mod request;
pub(super) mod result;
pub(super) mod usage;
pub(super) mod worker;
