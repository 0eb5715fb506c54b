//! Every name that metrics use. Dots here and in StatsD, after the prefix; the Prometheus exporter writes underscores.
//! A metric is a constant, for who measures, and a row of [`ALL`], for who reads; docs/telemetry.md is held to them.

use metrics::Unit;

/// Runs that ended, by `status`, `kind`, `task_type`, `class`, `simulated`.
pub const REQUEST_COUNT: &str = "mcp.request.count";
/// From accepted to ended, in milliseconds; labels as [`REQUEST_COUNT`].
pub const REQUEST_LATENCY_MS: &str = "mcp.request.latency_ms";
/// Tokens as providers reported them, by `direction` (`input`, `output`), `provider`, `model`.
pub const TOKENS: &str = "mcp.tokens";
/// Estimated cost of accepted runs in US dollars, by `task_type`; runs without a known price are not counted. A gauge that
/// only grows: dollars are not whole numbers, and the facade's counters are.
pub const COST_ESTIMATE_USD: &str = "mcp.cost_estimate_usd";
/// Provider calls that failed and were followed by another one, by `provider`, `code`.
pub const FALLBACK_COUNT: &str = "mcp.fallback.count";
/// Runs accepted, by `class`, `task_type`.
pub const ACCEPTED_COUNT: &str = "mcp.accepted.count";
/// Submits refused, by problem `code`.
pub const REFUSED_COUNT: &str = "mcp.refused.count";
/// Runs sent back to the queue, by `reason`.
pub const REQUEUED_COUNT: &str = "mcp.requeued.count";
/// From claim to the first visible output, in milliseconds, by `provider`, `model`.
pub const FIRST_TOKEN_MS: &str = "mcp.first_token_ms";
/// Runs this process is executing.
pub const RUNNING: &str = "mcp.running";
/// Connections that watch runs, by `transport` (`websocket`, `sse`).
pub const WATCHERS: &str = "mcp.watchers";
/// Entries per journal commit.
pub const COMMIT_ENTRIES: &str = "mcp.journal.commit_entries";
/// Duration of a journal commit in milliseconds.
pub const COMMIT_MS: &str = "mcp.journal.commit_ms";

/// 1 while this process uses Redis, 0 while it does without; not there where no Redis is configured.
pub const REDIS_UP: &str = "mcp.redis.up";

/// Task types that are told apart; clients may make up others, and labels must not grow with them.
const TASK_TYPES: [&str; 3] = ["chat", "code", "transform"];

/// The `task_type` label of a task type.
#[must_use]
pub fn task_type(task_type: &str) -> &'static str {
    TASK_TYPES
        .into_iter()
        .find(|known| *known == task_type)
        .unwrap_or("other")
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, in whole numbers. StatsD: a counter.
    Counter,
    /// Goes up and down. StatsD: a gauge.
    Gauge,
    /// Samples. Prometheus: a histogram where the name ends in `_ms`, else a summary; StatsD: a Datadog distribution.
    Histogram,
}

/// A metric as it is described to its readers.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with dots.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What its values count.
    pub unit: &'static str,
    /// The labels it comes with.
    pub labels: &'static [&'static str],
    /// What it says, in one line.
    pub meaning: &'static str,
}

/// The labels of a run that ended.
const ENDED: &[&str] = &["status", "kind", "task_type", "class", "simulated"];
/// The labels of an answer.
const MODEL: &[&str] = &["provider", "model"];

const MILLIS: &str = "ms";

/// All of them.
pub const ALL: [Metric; 14] = [
    row(REQUEST_COUNT, Kind::Counter, "runs", ENDED, "Runs that ended"),
    row(
        REQUEST_LATENCY_MS,
        Kind::Histogram,
        MILLIS,
        ENDED,
        "From accepted to ended",
    ),
    row(
        ACCEPTED_COUNT,
        Kind::Counter,
        "runs",
        &["class", "task_type"],
        "Runs accepted",
    ),
    row(
        REFUSED_COUNT,
        Kind::Counter,
        "submits",
        &["code"],
        "Submits refused",
    ),
    row(
        REQUEUED_COUNT,
        Kind::Counter,
        "runs",
        &["reason"],
        "Runs sent back to the queue",
    ),
    row(
        FALLBACK_COUNT,
        Kind::Counter,
        "calls",
        &["provider", "code"],
        "Provider calls that failed and were followed by another one",
    ),
    row(
        TOKENS,
        Kind::Counter,
        "tokens",
        &["direction", "provider", "model"],
        "Tokens as providers reported them",
    ),
    row(
        COST_ESTIMATE_USD,
        Kind::Gauge,
        "US dollars",
        &["task_type"],
        "Estimated cost of accepted runs, where the price is known; only grows while a process lives",
    ),
    row(
        FIRST_TOKEN_MS,
        Kind::Histogram,
        MILLIS,
        MODEL,
        "From claim to the first visible output",
    ),
    row(
        RUNNING,
        Kind::Gauge,
        "runs",
        &[],
        "Runs this process is executing",
    ),
    row(
        WATCHERS,
        Kind::Gauge,
        "connections",
        &["transport"],
        "Connections that watch runs",
    ),
    row(
        COMMIT_ENTRIES,
        Kind::Histogram,
        "entries",
        &[],
        "Entries per journal commit",
    ),
    row(
        COMMIT_MS,
        Kind::Histogram,
        MILLIS,
        &[],
        "Duration of a journal commit",
    ),
    row(
        REDIS_UP,
        Kind::Gauge,
        "0 or 1",
        &[],
        "1 while this process uses Redis, 0 while it does without",
    ),
];

const fn row(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        unit,
        labels,
        meaning,
    }
}

/// Gives every metric its unit and description in the exporter.
pub fn describe() {
    metrics::with_recorder(|recorder| {
        for metric in ALL {
            let unit = (metric.unit == MILLIS).then_some(Unit::Milliseconds);
            let (name, meaning) = (metric.name.into(), metric.meaning.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, meaning),
                Kind::Gauge => recorder.describe_gauge(name, unit, meaning),
                Kind::Histogram => recorder.describe_histogram(name, unit, meaning),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_row_and_every_row_a_name_of_its_own() {
        let source = include_str!("vocabulary.rs");
        let named: Vec<&str> = source
            .lines()
            .filter_map(|line| {
                line.strip_prefix("pub const ")?
                    .split_once(": &str = \"")?
                    .1
                    .strip_suffix("\";")
            })
            .collect();
        assert_eq!(named.len(), ALL.len());
        for name in named {
            assert_eq!(
                ALL.iter().filter(|metric| metric.name == name).count(),
                1,
                "{name}"
            );
        }
    }

    /// What is counted in the code is what the document says. Generate the table by what this prints.
    #[test]
    fn the_document_has_every_metric_and_no_other() {
        let document = include_str!("../../../docs/telemetry.md");
        let said: Vec<&str> = document
            .lines()
            .filter(|line| line.starts_with("| `mcp_"))
            .collect();
        let rows = ALL.iter().map(|metric| {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels = metric.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let prometheus = metric.name.replace('.', "_");
            let row = format!(
                "| `{prometheus}` | `goblin.{}` | {kind} | {} | {labels} | {} |",
                metric.name, metric.unit, metric.meaning
            );
            row.replace("|  |", "| |")
        });
        let rows: Vec<String> = rows.collect();
        assert_eq!(said, rows, "docs/telemetry.md should hold:\n{}", rows.join("\n"));
    }
}
