//! What runs are: ids, states, events, cursors, and the folds over a log. Pure: no I/O, no clock, no async.

mod answer;
mod class;
mod cursor;
mod event;
mod failure;
mod fold;
mod ids;
mod interruption;
mod kind;
mod named;
mod price;
mod status;
mod tenant;
mod timestamp;

pub mod chat;
pub mod tokens;

pub use answer::{Answer, OutputDelta};
pub use class::{Class, Priority};
pub use cursor::{Cursor, CursorError};
pub use event::{
    AttemptStarted, Event, EventType, LogEntry, ProviderFailed, RequeueReason, RouteSelected, RunCancelled,
    RunFailed, RunQueued, RunRequeued, RunSucceeded, UnknownEventType, UsageReported,
};
pub use failure::FailureCode;
pub use fold::Transcript;
pub use ids::{IdError, RunId, WorkerId};
pub use interruption::Interruption;
pub use kind::Kind;
pub use named::UnknownName;
pub use price::{Estimate, Price, Usd};
pub use status::Status;
pub use tenant::{TenantError, TenantId, UserHash};
pub use timestamp::Timestamp;
