//! Writes counters and gauges and empties the buffer, once a second and at the end. On a thread of its own: metrics of
//! a process whose runtime is stuck are the ones that are wanted most.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use cadence::MetricSink as _;
use metrics::{Key, Level, Metadata, Recorder as _};
use metrics_exporter_statsd::StatsdRecorder;

use super::Shared;
use super::recorder::Values;

const EVERY: Duration = Duration::from_secs(1);

/// The exporter does not look at it.
const METADATA: Metadata<'static> = Metadata::new("", Level::INFO, None);

/// The running thread. Dropping it writes what is left, and waits for that.
pub(in crate::telemetry) struct Pump {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    pub(super) fn start(values: Arc<Values>, lines: Arc<StatsdRecorder>, sink: Shared) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut strokes = Strokes {
            values,
            lines,
            sink,
            counted: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("statsd".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    strokes.stroke();
                }
                strokes.stroke();
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop = None;
        // It cannot have panicked in a way that matters to a process that ends.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Strokes {
    values: Arc<Values>,
    lines: Arc<StatsdRecorder>,
    sink: Shared,
    /// What was told of each counter: StatsD takes differences.
    counted: HashMap<Key, u64>,
}

impl Strokes {
    fn stroke(&mut self) {
        let Self {
            values,
            lines,
            sink,
            counted,
        } = self;
        values.visit_counters(|key, count| {
            let count = count.load(Ordering::Relaxed);
            let told = counted.entry(key.clone()).or_default();
            if count > *told {
                lines.register_counter(key, &METADATA).increment(count - *told);
                *told = count;
            }
        });
        values.visit_gauges(|key, bits| {
            let value = f64::from_bits(bits.load(Ordering::Relaxed));
            lines.register_gauge(key, &METADATA).set(value);
        });
        // An agent that is away loses them.
        let _ = sink.flush();
    }
}
