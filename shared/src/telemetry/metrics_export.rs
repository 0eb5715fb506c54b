//! Where measurements go: Prometheus asks for them; a DogStatsD agent is sent them, if one is named. Both get all.

use metrics::SetRecorderError;
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use metrics_util::layers::{Fanout, FanoutBuilder};

use super::dogstatsd::{self, Pump, SetUpError};
use super::vocabulary;
use crate::config::TelemetryConfig;

/// Buckets of every duration in milliseconds.
const MILLIS: [f64; 16] = [
    0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 15_000.0, 60_000.0,
    600_000.0,
];

/// Renders what was measured.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// Prometheus text exposition format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

/// Why nothing is measured.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The StatsD host has no address.
    #[error("{variable}: `{host}` has no address: {reason}")]
    NoAddress {
        /// The variable that named the host.
        variable: &'static str,
        /// The host.
        host: String,
        /// What the look-up said.
        reason: String,
    },
    /// The StatsD side cannot be set up on this machine.
    #[error("cannot send to StatsD: {0}")]
    Statsd(Box<dyn std::error::Error + Send + Sync>),
    /// The Prometheus side cannot be set up.
    #[error(transparent)]
    Prometheus(#[from] BuildError),
    /// Something measures already.
    #[error("metrics are recorded already")]
    Twice,
}

impl<R> From<SetRecorderError<R>> for MetricsError {
    fn from(_: SetRecorderError<R>) -> Self {
        Self::Twice
    }
}

/// Begins to measure, for Prometheus only. Once per process.
///
/// # Errors
/// When a recorder is installed already.
pub fn install_metrics() -> Result<MetricsHandle, MetricsError> {
    install(&TelemetryConfig::default()).map(|(handle, _)| handle)
}

/// Begins to measure as configured. The pump sends for as long as it lives.
pub(super) fn install(config: &TelemetryConfig) -> Result<(MetricsHandle, Option<Pump>), MetricsError> {
    let prometheus = prometheus()?;
    let handle = MetricsHandle(prometheus.handle());
    let pump = match &config.statsd {
        None => {
            metrics::set_global_recorder(prometheus)?;
            None
        }
        Some(statsd) => {
            let (dogstatsd, pump) =
                dogstatsd::start(statsd, &config.service).map_err(|error| match error {
                    SetUpError::NoAddress(reason) => MetricsError::NoAddress {
                        variable: statsd.host_variable,
                        host: statsd.host.clone(),
                        reason: reason.to_string(),
                    },
                    SetUpError::Refused(error) => MetricsError::Statsd(error),
                })?;
            metrics::set_global_recorder(both(prometheus, dogstatsd))?;
            Some(pump)
        }
    };
    vocabulary::describe();
    Ok((handle, pump))
}

fn prometheus() -> Result<PrometheusRecorder, BuildError> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &MILLIS)?
        .build_recorder())
}

fn both(prometheus: PrometheusRecorder, dogstatsd: dogstatsd::DogStatsd) -> Fanout {
    FanoutBuilder::default()
        .add_recorder(prometheus)
        .add_recorder(dogstatsd)
        .build()
}
