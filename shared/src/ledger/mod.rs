//! The ledger: the database, and the only source of truth. Postgres in production, SQLite when embedded; both pass
//! one contract suite.
//!
//! The interface is split by role, so that each side names only what it may do: [`Submit`] for who accepts work,
//! [`Execute`] for who does it, [`Backlog`] for who proposes it, [`Upkeep`] for the duties, [`Fleet`] for what workers
//! tell each other, [`Log`] and [`Reader`] for who looks. Nothing here waits for anything but the database, and no
//! transaction is held across calls.

mod accept;
mod accounting;
mod connect;
mod entity;
mod error;
mod execute;
mod fleet;
mod postgres;
mod read;
mod reader;
mod sqlite;
mod upkeep;

use std::sync::Arc;

pub use accept::{AcceptOutcome, CancelOutcome, Idempotency, NewRun, Submit};
pub use accounting::{AccountedCall, AnswerLength, Spending, WorkerReport};
pub use connect::{ConnectError, DataFolder, PoolStatus};
pub use error::LedgerError;
pub use execute::{
    Claimed, Committed, Execute, Failure, Held, NewWorker, Renewal, RunResult, Then, Write, WriteOutcome,
};
pub use fleet::{Fleet, HeardNews, NewsMark};
pub use read::{
    ClassOverview, Log, Overview, Page, Reader, RunFilter, RunRecord, StoredResult, WorkerRecord,
    is_full_page,
};
pub use upkeep::{Backlog, Closed, QueuedRun, ReadyRun, Requeued, Upkeep};

/// A handle to the ledger: cheap to clone, shared by the whole process.
#[derive(Clone)]
pub struct Ledger {
    /// For who accepts work.
    pub submit: Arc<dyn Submit>,
    /// For who does it.
    pub execute: Arc<dyn Execute>,
    /// For who proposes it.
    pub backlog: Arc<dyn Backlog>,
    /// For the duties.
    pub upkeep: Arc<dyn Upkeep>,
    /// For who tells the other workers what it learned.
    pub fleet: Arc<dyn Fleet>,
    /// For who reads logs.
    pub log: Arc<dyn Log>,
    /// For who reads everything else.
    pub reader: Reader,
    /// For migrations.
    writer: sea_orm::DatabaseConnection,
}
