//! Log lines for machines: each one JSON object on one line, whatever is in it. The names are stable: `timestamp`,
//! `level`, `target`, `message`; then what the spans around it say (`run`, `epoch`, `worker`, `tenant`, `traceparent`,
//! `request_id`, ...); then its own fields; then `dd.service`, `dd.env`, `dd.version` where they are set.

use std::io::Write as _;

use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::span_fields::{Fields, around};
use crate::clock;
use crate::config::ServiceTags;

/// Names that a field may not take: what has one of them is written as `field.NAME`.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "message"];

/// Writes them.
pub(super) struct JsonLines<W> {
    writer: W,
    service: Vec<(String, String)>,
}

impl<W> JsonLines<W> {
    pub(super) fn new(writer: W, service: &ServiceTags) -> Self {
        let named = |(name, value): (&str, &str)| (format!("dd.{name}"), value.to_owned());
        Self {
            writer,
            service: service.present().map(named).collect(),
        }
    }

    fn line(&self, event: &Event<'_>, spans: &Fields) -> serde_json::Result<Vec<u8>> {
        let mut own = Fields::of_event(event);
        let message = own.take("message").unwrap_or_else(|| "".into());
        // Records of the `log` crate come under one target, their own being a field.
        let target = own.take("log.target");
        let target = target.as_ref().and_then(Value::as_str);
        let metadata = event.metadata();

        let mut line = Vec::with_capacity(256);
        let mut json = serde_json::Serializer::new(&mut line);
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("timestamp", &clock::now())?;
        map.serialize_entry("level", metadata.level().as_str())?;
        map.serialize_entry("target", target.unwrap_or(metadata.target()))?;
        map.serialize_entry("message", &message)?;
        let outer = spans
            .iter()
            .filter(|(name, _)| own.iter().all(|(own, _)| own != *name));
        for (name, value) in outer.chain(own.iter()) {
            if RESERVED.contains(&name) {
                map.serialize_entry(&format!("field.{name}"), value)?;
            } else if !name.starts_with("log.") {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in &self.service {
            map.serialize_entry(name, value)?;
        }
        map.end()?;
        line.push(b'\n');
        Ok(line)
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Ok(line) = self.line(event, &around(event, &context)) {
            // In one write, so that lines of several threads or processes do not mix. A log that cannot be written
            // has nowhere to say so.
            let _ = self.writer.make_writer_for(event.metadata()).write_all(&line);
        }
    }
}
