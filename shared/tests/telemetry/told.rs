//! The parts that are run in processes of their own. Ignored: by themselves they prove nothing.

use metrics::{counter, gauge, histogram};
use shared::config::{Environment, TelemetryConfig};
use shared::telemetry::{Telemetry, init, vocabulary};

/// What must be in no report, and is put wherever lines have room for it.
pub(crate) const SECRET: &str = "sk-live-4711 my diary";
pub(crate) const RUN: &str = "run_0198c0de00007000800000000000cafe";
pub(crate) const OTHER_RUN: &str = "run_0198c0de00007000800000000000beef";
pub(crate) const WORKER: &str = "wrk_0198c0de00007000800000000000f00d";
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn begin() -> Telemetry {
    let mut env = Environment::of_process();
    let config = TelemetryConfig::read(&mut env);
    env.finish().unwrap();
    init(config, "info", false)
}

/// In a thread of its own, so that this one goes on.
fn panic_with(work: impl FnOnce() + Send + 'static) {
    let span = tracing::Span::current();
    let thread = std::thread::Builder::new().name("doomed".to_owned());
    let doomed = thread.spawn(move || span.in_scope(work)).unwrap();
    doomed.join().unwrap_err();
}

fn quote(content: &str) {
    panic!("cannot read {content}");
}

#[test]
#[ignore = "a part of other tests"]
fn lines() {
    let _telemetry = begin();
    tracing::info!(target: "api::acceptor", "nothing around it");
    let http = tracing::info_span!(target: "api", "http", request_id = "r-1", run = tracing::field::Empty);
    http.record("run", OTHER_RUN);
    http.in_scope(|| tracing::info!(target: "api", runs = 3, "accepted"));
    let run = tracing::info_span!(target: "worker", "run", run = RUN, epoch = 2_u64, worker = WORKER,
        tenant = "acme", traceparent = TRACE);
    let _inside = run.enter();
    tracing::warn!(target: "worker::journal", error = "first line\nsecond \"line\"", epoch = 3_u64,
        level = "mine", share = f64::NAN, "not\ncommitted");
    panic_with(|| panic!("no\npermit"));
}

#[test]
#[ignore = "a part of other tests"]
fn measurements() {
    let mut telemetry = begin();
    let handle = telemetry.measure().unwrap();
    for _ in 0..3 {
        counter!(vocabulary::REQUEST_COUNT, "status" => "succeeded", "kind" => "chat").increment(2);
    }
    let model = "m|c\nevil.count:9|c|#a,b:c";
    counter!(vocabulary::TOKENS, "direction" => "input", "model" => model).increment(5);
    gauge!(vocabulary::RUNNING).increment(3.0);
    gauge!(vocabulary::RUNNING).decrement(1.0);
    gauge!(vocabulary::COST_ESTIMATE_USD, "task_type" => "chat").increment(0.25);
    for sample in [12.5, 40.0] {
        histogram!(vocabulary::REQUEST_LATENCY_MS, "status" => "succeeded").record(sample);
    }
    println!("{}", handle.render());
}

#[test]
#[ignore = "a part of other tests"]
fn measurements_that_never_stop() {
    let mut telemetry = begin();
    telemetry.measure().unwrap();
    counter!(vocabulary::REFUSED_COUNT, "code" => "bad_request").increment(1);
    gauge!(vocabulary::WATCHERS, "transport" => "sse").increment(1.0);
    // Until the test has seen it: it closes the pipe.
    std::io::Read::read_to_string(&mut std::io::stdin(), &mut String::new()).unwrap();
}

#[test]
#[ignore = "a part of other tests"]
fn no_agent() {
    let error = begin().measure().err().unwrap();
    println!("refused: {error}");
}

#[test]
#[ignore = "a part of other tests"]
fn errors() {
    let _telemetry = begin();
    let other = tracing::info_span!(target: "worker", "run", run = OTHER_RUN);
    other.in_scope(|| tracing::warn!(target: "worker::pipeline", "another run's trouble"));
    let run = tracing::info_span!(target: "worker", "run", run = RUN, epoch = 2_u64, worker = WORKER,
        tenant = SECRET, traceparent = TRACE, prompt = SECRET);
    let _inside = run.enter();
    tracing::warn!(target: "worker::pipeline", error = SECRET, code = "rate_limited", "provider call failed");
    tracing::info!(target: "hyper::client", "sending {SECRET}");
    tracing::error!(target: "worker::journal", error = %SECRET, user = SECRET, code = SECRET, answer = ?SECRET,
        "the ledger refused a commit");
    tracing::error!(target: "sqlx::query", "syntax error near {SECRET}");
    let misnamed = tracing::error_span!(target: "worker", "run", run = SECRET, worker = SECRET);
    misnamed.in_scope(|| tracing::error!(target: "worker", code = "internal", "misnamed"));
    panic_with(|| quote(SECRET));
    panic_with(|| panic!("no permit"));
}
