//! The Prometheus side of the `metrics` facade.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::vocabulary;

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

/// Begins to measure. Once per process.
///
/// # Errors
/// When a recorder is installed already.
pub fn install_metrics() -> Result<MetricsHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &MILLIS)?
        .install_recorder()?;
    vocabulary::describe();
    Ok(MetricsHandle(handle))
}
