//! What runs are: ids, states, events, cursors, and the folds over a log. Pure: no I/O, no clock, no async.

mod answer;
mod breaker;
mod class;
mod cursor;
mod event;
mod failure;
mod figures;
mod fold;
mod ids;
mod interruption;
mod kind;
mod named;
mod policy;
mod price;
mod route;
mod status;
mod tenant;
mod timestamp;
mod usage;

pub mod chat;
pub mod tokens;

pub use answer::{Answer, OutputDelta};
pub use breaker::{BreakerNews, BreakerState, NewsState};
pub use class::{Class, Priority};
pub use cursor::{Cursor, CursorError};
pub use event::{
    AttemptStarted, Event, EventType, LogEntry, ProviderFailed, RequeueReason, RunCancelled, RunFailed,
    RunQueued, RunRequeued, RunSucceeded, UnknownEventType, UsageReported,
};
pub use failure::FailureCode;
pub use figures::{FiguresReport, LiveFigures, MAX_REPORT, ModelFigures};
pub use fold::Transcript;
pub use ids::{IdError, RunId, WorkerId};
pub use interruption::Interruption;
pub use kind::Kind;
pub use named::UnknownName;
pub use policy::Policy;
pub use price::{Estimate, Price, Usd};
pub use route::{RouteCandidate, RouteReport, RouteSelected, RouteUnavailable};
pub use status::Status;
pub use tenant::{TenantError, TenantId, UserHash};
pub use timestamp::Timestamp;
pub use usage::{CallOutcome, CallTokens, CostUnknown, UsageRecord};
