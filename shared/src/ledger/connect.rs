//! Opening a ledger: which database, with which pool.
