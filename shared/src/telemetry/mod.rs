//! One vocabulary for metrics, traces and logs, and the set-up of all three.

mod logs;
mod metrics_export;
mod trace_context;
pub mod vocabulary;

pub use logs::{LogFormat, init_logs};
pub use metrics_export::{MetricsHandle, install_metrics};
pub use trace_context::{TraceContext, TraceContextError};
