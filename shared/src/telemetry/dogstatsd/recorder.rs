//! Takes what is measured: adds counters and gauges up for the pump, and hands samples to the exporter.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_statsd::StatsdRecorder;
use metrics_util::registry::{AtomicStorage, Registry};

use super::tags;

/// What was counted so far and what gauges show, by name and tags.
pub(super) type Values = Registry<Key, AtomicStorage>;

/// The recorder.
pub(in crate::telemetry) struct DogStatsd {
    values: Arc<Values>,
    lines: Arc<StatsdRecorder>,
}

impl DogStatsd {
    pub(super) fn new(values: Arc<Values>, lines: Arc<StatsdRecorder>) -> Self {
        Self { values, lines }
    }
}

impl Recorder for DogStatsd {
    // StatsD has no place for units and descriptions.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let key = tags::clean_key(key);
        self.values
            .get_or_create_counter(&key, |count| Counter::from_arc(Arc::clone(count)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let key = tags::clean_key(key);
        self.values
            .get_or_create_gauge(&key, |value| Gauge::from_arc(Arc::clone(value)))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.lines.register_histogram(&tags::clean_key(key), metadata)
    }
}
