//! What a benchmark prints: figures for people, one JSON object for programs. Where there is nothing to tell (no gaps
//! in answers of one token), nothing is told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::drive::Measured;
use super::histogram::Histogram;
use super::load::{Extent, Plan};
use crate::output::Table;

/// Everything that was measured. The JSON form is documented in `docs/benchmarks.md`; fields are only ever added.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    load: &'static str,
    url: String,
    /// Whether the provider was called without a control plane.
    direct: bool,
    concurrency: u32,
    arrivals: &'static str,
    /// Whether answers came as streams.
    streamed: bool,
    tokens_per_run: u32,
    /// How long counting went on.
    seconds: f64,
    /// Ended well while counting.
    runs: u64,
    runs_per_second: f64,
    tokens_per_second: f64,
    /// Until the head of the response: for a control plane the run is committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_ms: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    called_ms: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap_ms: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_ms: Option<Latency>,
    rewinds: u64,
    failed: u64,
    errors: BTreeMap<String, u64>,
    generator: Generator,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Latency {
    count: u64,
    mean: f64,
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Generator {
    threads: u32,
    /// Share of their time.
    busy: f64,
}

/// From here on the generator is what is measured.
const TOO_BUSY: f64 = 0.9;

impl Report {
    pub(super) fn new(
        plan: &Plan,
        url: String,
        direct: bool,
        measured: Measured,
        called: Option<&Histogram>,
    ) -> Self {
        let Measured {
            tally,
            counted_for,
            busy,
        } = measured;
        let seconds = counted_for.as_secs_f64();
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        // Words are counted as they come; where the provider counted tokens, words are weighed by that.
        let (words, tokens) = tally.counted;
        let tokens_per_word = if words > 0 {
            tokens as f64 / words as f64
        } else {
            1.0
        };
        Self {
            load: plan.load.name(),
            url,
            direct,
            concurrency: plan.concurrency.get(),
            arrivals: plan.arrivals.name(),
            streamed: !plan.whole,
            tokens_per_run: plan.shape.tokens,
            seconds,
            runs: tally.completed,
            runs_per_second: per_second(tally.completed as f64),
            tokens_per_second: per_second(tally.words as f64 * tokens_per_word),
            accepted_ms: Latency::of(&tally.accepted),
            called_ms: called.and_then(Latency::of),
            first_token_ms: Latency::of(&tally.first),
            gap_ms: Latency::of(&tally.gaps),
            run_ms: Latency::of(&tally.whole),
            rewinds: tally.rewinds,
            failed: tally.errors.values().sum(),
            errors: tally.errors,
            generator: Generator {
                threads: plan.threads.get(),
                busy,
            },
        }
    }

    /// The error that happened most, if nothing but errors happened.
    pub(super) fn nothing_but(&self) -> Option<&str> {
        let most = self.errors.iter().max_by_key(|(_, count)| **count);
        most.filter(|_| self.run_ms.is_none())
            .map(|(why, _)| why.as_str())
    }

    pub(super) fn for_people(&self, plan: &Plan) -> String {
        let mut table = Table::default();
        let rate = format!("{:.1}/s", self.runs_per_second);
        let failed = format!("{} failed", self.failed);
        table.row(["runs", &self.runs.to_string(), &rate, &failed, ""]);
        if self.tokens_per_second > 0.0 {
            table.row(["tokens", "", &format!("{:.0}/s", self.tokens_per_second), "", ""]);
        }
        for (name, latency) in [
            ("accepted", self.accepted_ms),
            ("provider called", self.called_ms),
            ("first token", self.first_token_ms),
            ("gap", self.gap_ms),
            ("whole run", self.run_ms),
        ] {
            let Some(Latency {
                count, p50, p99, max, ..
            }) = latency
            else {
                continue;
            };
            let cells = [p50, p99, max].map(|value| format!("{value:.2} ms"));
            table.row([
                name,
                &count.to_string(),
                &format!("p50 {}", cells[0]),
                &format!("p99 {}", cells[1]),
                &format!("max {}", cells[2]),
            ]);
        }
        let mut lines = vec![self.title(plan), table.text()];
        if self.rewinds > 0 {
            lines.push(format!("answers begun anew: {}", self.rewinds));
        }
        lines.extend(self.errors.iter().map(|(why, count)| format!("{count} × {why}")));
        lines.join("\n")
    }

    /// What makes the figures doubtful, if something does.
    pub(super) fn doubt(&self) -> Option<String> {
        let Generator { threads, busy } = self.generator;
        (busy > TOO_BUSY).then(|| {
            format!(
                "the generator itself was busy {:.0} % of the time on {threads} thread(s): these figures are its own; \
                 try --threads {}",
                busy * 100.0,
                threads + 1
            )
        })
    }

    fn title(&self, plan: &Plan) -> String {
        let extent = match plan.extent {
            Extent::Time { warm_up, measured } => {
                format!("{} after {} of warm-up", seconds(measured), seconds(warm_up))
            }
            Extent::Runs(runs) => format!("{runs} runs"),
        };
        let arrivals = self.arrivals;
        let form = if self.streamed { "" } else { "in one piece · " };
        let way = if self.direct {
            "straight to the provider"
        } else {
            "through the control plane"
        };
        let Self {
            load,
            concurrency,
            url,
            ..
        } = self;
        format!("{load} · {concurrency} at a time ({arrivals}) · {form}{extent} · {way} at {url}")
    }
}

impl Latency {
    fn of(histogram: &Histogram) -> Option<Self> {
        let millis = |duration: Duration| duration.as_micros() as f64 / 1e3;
        (histogram.count() > 0).then(|| Self {
            count: histogram.count(),
            mean: millis(histogram.mean()),
            p50: millis(histogram.quantile(0.5)),
            p99: millis(histogram.quantile(0.99)),
            max: millis(histogram.max()),
        })
    }
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::load::{Arrivals, Load};
    use super::super::tally::Tally;
    use super::*;

    fn plan() -> Plan {
        Plan {
            load: Load::Flat,
            shape: Load::Flat.shape(),
            concurrency: NonZeroU32::new(64).unwrap(),
            arrivals: Arrivals::Spread,
            extent: Extent::Time {
                warm_up: Duration::from_secs(1),
                measured: Duration::from_secs(4),
            },
            threads: NonZeroU32::MIN,
            exact: true,
            whole: false,
        }
    }

    fn report(tally: Tally, busy: f64) -> Report {
        let measured = Measured {
            tally,
            counted_for: Duration::from_secs(4),
            busy,
        };
        Report::new(&plan(), "http://x".to_owned(), false, measured, None)
    }

    #[test]
    fn rates_are_by_the_counted_time_and_tokens_by_the_providers_count() {
        let mut tally = Tally {
            completed: 8,
            words: 100,
            counted: (50, 75),
            ..Tally::default()
        };
        tally.first.record(Duration::from_micros(1_500));
        let report = serde_json::to_value(report(tally, 0.2)).unwrap();
        assert_eq!(report["runs_per_second"], 2.0);
        assert_eq!(report["tokens_per_second"], 37.5);
        assert_eq!(report["first_token_ms"]["p50"], 1.5);
        assert!(report.get("gap_ms").is_none(), "{report}");
    }

    #[test]
    fn errors_and_a_busy_generator_are_told() {
        let errors = BTreeMap::from([("a".to_owned(), 1), ("HTTP 429: queue_full".to_owned(), 7)]);
        let report = report(
            Tally {
                errors,
                ..Tally::default()
            },
            0.97,
        );
        assert_eq!(report.nothing_but(), Some("HTTP 429: queue_full"));
        assert!(report.doubt().unwrap().contains("97 %"));
        let text = report.for_people(&plan());
        assert!(
            text.contains("8 failed") && text.contains("7 × HTTP 429: queue_full"),
            "{text}"
        );
        assert!(!text.contains("first token"), "{text}");
    }

    #[test]
    fn where_something_was_answered_errors_are_not_all_there_is() {
        let mut tally = Tally::default();
        tally.whole.record(Duration::from_millis(1));
        tally.errors.insert("a".to_owned(), 1);
        let report = report(tally, 0.1);
        assert_eq!((report.nothing_but(), report.doubt()), (None, None));
    }
}
