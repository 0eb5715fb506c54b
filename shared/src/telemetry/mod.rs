//! One vocabulary for metrics, traces and logs, and the set-up of all three. It watches: nothing here may delay or
//! change what it watches, and no content of a run goes through it.

mod dogstatsd;
mod errors;
mod json_lines;
mod logs;
mod metrics_export;
mod panics;
mod span_fields;
mod trace_context;
pub mod vocabulary;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::TelemetryConfig;

pub use errors::is_dsn;
pub use logs::LogFormat;
pub use metrics_export::{MetricsError, MetricsHandle, install_metrics};
pub use trace_context::{TraceContext, TraceContextError};

/// Holds what has to be sent before the process ends: dropping it sends the last metrics, and gives reports of errors
/// two seconds to arrive.
#[must_use = "dropping it ends the sending of metrics and errors"]
pub struct Telemetry {
    config: TelemetryConfig,
    errors: Option<errors::Errors>,
    statsd: Option<dogstatsd::Pump>,
}

impl Telemetry {
    /// Begins to measure. Once per process.
    ///
    /// # Errors
    /// When the StatsD host has no address, or a recorder is installed already.
    pub fn measure(&mut self) -> Result<MetricsHandle, MetricsError> {
        let (handle, pump) = metrics_export::install(&self.config)?;
        self.statsd = pump;
        Ok(handle)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        drop(self.statsd.take());
        // Last: what went wrong until now is reported.
        drop(self.errors.take());
    }
}

/// Begins to log, to report errors if that is configured, and to do both with panics. `RUST_LOG` overrides
/// `default_filter` for the log. Once per process; the log and the reports of a later call go nowhere.
pub fn init(config: TelemetryConfig, default_filter: &str, colour: bool) -> Telemetry {
    let errors = config.errors.as_ref();
    let errors = errors.and_then(|config| errors::Errors::start(config, env!("CARGO_PKG_VERSION")));
    let context = filter_fn(logs::is_context).with_max_level_hint(LevelFilter::INFO);
    let mut layers = vec![
        span_fields::SpanFields.with_filter(context).boxed(),
        logs::layer(&config, default_filter, colour),
    ];
    layers.extend(
        errors
            .iter()
            .map(|errors| errors.reports().with_filter(LevelFilter::INFO).boxed()),
    );
    // An error means that a subscriber is set already.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    panics::log_panics();
    Telemetry {
        config,
        errors,
        statsd: None,
    }
}
