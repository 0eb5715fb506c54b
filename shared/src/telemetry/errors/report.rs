//! From log lines to reports: an ERROR is an event, WARN and INFO are the breadcrumbs of the next one of the same run.
//!
//! Of a line only these are read: its level, its target, its place, its text, and the fields `run`, `epoch`, `worker`
//! and `code`. A line's text is constant in this code base (a test holds that); lines of other crates may be formatted,
//! so theirs is not read either.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sentry::integrations::backtrace::{current_stacktrace, process_event_stacktrace};
use sentry::protocol::{Breadcrumb, Event as Report, Exception, Map};
use sentry::{Client, Level};
use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::super::panics;
use super::super::span_fields::{Fields, around};
use super::gate::may_leave;

/// The crates whose lines have constant texts.
const OURS: [&str; 6] = ["api", "mcpctl", "migrations", "shared", "simulator", "worker"];

/// Lines remembered, of all runs together.
const REMEMBERED: usize = 512;
/// Lines told with one event.
const TOLD: usize = 30;

/// The layer that reports.
pub(in crate::telemetry) struct Reports {
    client: Arc<Client>,
    recent: Mutex<VecDeque<Remembered>>,
}

struct Remembered {
    run: Option<String>,
    line: Breadcrumb,
}

impl Reports {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            recent: Mutex::new(VecDeque::with_capacity(REMEMBERED)),
        }
    }

    fn remember(&self, run: Option<String>, line: Breadcrumb) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(Remembered { run, line });
    }

    /// The latest lines of this run and of none in particular, oldest first.
    fn history(&self, run: Option<&String>) -> Vec<Breadcrumb> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |line: &&Remembered| line.run.is_none() || line.run.as_ref() == run;
        let mut lines: Vec<_> = recent.iter().rev().filter(fits).take(TOLD).collect();
        lines.reverse();
        lines
            .into_iter()
            .map(|remembered| remembered.line.clone())
            .collect()
    }

    fn panicked(&self, fields: &Fields) -> Exception {
        let mut stacktrace = current_stacktrace();
        if let Some(stacktrace) = &mut stacktrace {
            process_event_stacktrace(stacktrace, self.client.options());
        }
        Exception {
            ty: "panic".to_owned(),
            value: fields.text("reason").map(ToOwned::to_owned),
            stacktrace,
            ..Exception::default()
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Reports {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let fields = Fields::of_event(event);
        let mut tags = tags(&around(event, &context));
        tags.extend(self::tags(&fields));
        let run = tags.get("run").cloned();
        let target = metadata.target();
        let is_panic = target == panics::TARGET;
        let is_ours = is_panic || OURS.contains(&target.split("::").next().unwrap_or_default());
        let text = if is_ours { fields.text("message") } else { None };
        let text = text.unwrap_or("a line of another crate, not read").to_owned();
        let level = level(*metadata.level());
        if level != Level::Error {
            let line = Breadcrumb {
                category: Some(target.to_owned()),
                level,
                message: Some(text),
                ..Breadcrumb::default()
            };
            return self.remember(run, line);
        }
        let place = (metadata.module_path(), metadata.file(), metadata.line());
        let report = Report {
            level,
            message: Some(text),
            logger: Some(target.to_owned()),
            culprit: match place {
                _ if is_panic => fields.text("location").map(ToOwned::to_owned),
                (Some(module), Some(file), Some(line)) => Some(format!("{module} ({file}:{line})")),
                _ => None,
            },
            breadcrumbs: self.history(run.as_ref()).into(),
            exception: is_panic
                .then(|| self.panicked(&fields))
                .into_iter()
                .collect::<Vec<_>>()
                .into(),
            tags,
            ..Report::default()
        };
        self.client.capture_event(report, None);
    }
}

fn tags(fields: &Fields) -> Map<String, String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    fields
        .iter()
        .map(|(name, value)| (name.to_owned(), text(value)))
        .filter(|(name, value)| may_leave(name, value))
        .collect()
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}
