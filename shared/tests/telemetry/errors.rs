//! Reports at Sentry: a real HTTP server that keeps what it is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::process::tell;
use crate::told::{OTHER_RUN, RUN, SECRET, WORKER};

/// What came: head and body of every request, as text.
type Kept = Arc<Mutex<Vec<String>>>;

/// Listens; answers every request, or never.
fn sentry(answers: bool) -> (String, Kept) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!("http://0123456789abcdef@{}/7", listener.local_addr().unwrap());
    let kept = Kept::default();
    let keeps = Arc::clone(&kept);
    // It ends with the test's process.
    let _serving = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, keeps) = (stream.unwrap(), Arc::clone(&keeps));
            let _serving = std::thread::spawn(move || serve(&stream, &keeps, answers));
        }
    });
    (dsn, kept)
}

fn serve(stream: &TcpStream, kept: &Kept, answers: bool) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        while !request.ends_with("\r\n\r\n") {
            let begin = request.len();
            if reader.read_line(&mut request).ok()? == 0 {
                return None;
            }
            let header = request[begin..].to_ascii_lowercase();
            assert!(
                !header.starts_with("transfer-encoding"),
                "a body without a length"
            );
            if let Some(bytes) = header.strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        request.push_str(std::str::from_utf8(&body).unwrap());
        kept.lock().unwrap().push(request);
        if answers {
            let mut stream = stream;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .ok()?;
        }
    }
}

/// The events in what was kept, and all of it as text.
fn events(kept: &Kept) -> (Vec<Value>, String) {
    let all = kept.lock().unwrap().join("\n");
    let objects = all
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    (
        objects
            .filter(|object| object.get("platform").is_some())
            .collect(),
        all,
    )
}

fn told(variables: &[(&str, &str)]) -> (Vec<Value>, String) {
    let (dsn, kept) = sentry(true);
    tell(
        "errors",
        &[&[("SENTRY_DSN", dsn.as_str()), ("DD_ENV", "staging")], variables].concat(),
    );
    events(&kept)
}

#[test]
fn errors_and_panics_arrive_with_their_run_and_without_content() {
    let (events, all) = told(&[]);
    assert_eq!(events.len(), 5, "{events:#?}");
    for part in [SECRET, "sk-live", "diary", "tenant", "traceparent"] {
        assert!(!all.contains(part), "{part}: {all}");
    }
    let commit = &events[0];
    assert_eq!(commit["message"], "the ledger refused a commit");
    assert_eq!(commit["logger"], "worker::journal");
    assert_eq!(
        commit["tags"],
        serde_json::json!({ "run": RUN, "epoch": "2", "worker": WORKER })
    );
    assert_eq!(commit["environment"], "staging");
    assert_eq!(commit["release"], env!("CARGO_PKG_VERSION"));
    assert!(
        commit["culprit"].as_str().unwrap().contains("told.rs:"),
        "{commit}"
    );
    for absent in ["server_name", "user", "request", "extra", "contexts", "modules"] {
        assert_eq!(commit.get(absent), None, "{absent}");
    }
    // Of another crate: that it happened, and in which run.
    assert_eq!(
        (&events[1]["logger"], &events[1]["tags"]["run"]),
        (&"sqlx::query".into(), &RUN.into())
    );
    // What is no id is not told as one.
    assert_eq!(
        events[2]["tags"],
        serde_json::json!({ "epoch": "2", "code": "internal" })
    );
}

#[test]
fn what_led_to_it_is_told_of_the_same_run_only() {
    let (events, all) = told(&[]);
    let crumbs = events[0]["breadcrumbs"]["values"].as_array().unwrap();
    let said = |crumb: &Value| {
        let part = |name: &str| crumb.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        (part("level"), part("category"), part("message"))
    };
    let said: Vec<_> = crumbs.iter().map(said).collect();
    let own = |(level, category, text): (&str, &str, &str)| (level.into(), category.into(), text.into());
    assert_eq!(
        said,
        [
            own(("warning", "worker::pipeline", "provider call failed")),
            own(("-", "hyper::client", "a line of another crate, not read")),
        ]
    );
    assert!(!all.contains(OTHER_RUN));
}

#[test]
fn a_panic_has_its_stack_and_no_formatted_text() {
    let (events, _) = told(&[]);
    let panics: Vec<&Value> = events.iter().filter(|event| event["logger"] == "panic").collect();
    let [quoting, literal] = panics[..] else {
        panic!("{panics:#?}")
    };
    let exception = |event: &Value| event["exception"]["values"][0].clone();
    assert_eq!(exception(literal)["type"], "panic");
    assert_eq!(exception(literal)["value"], "no permit");
    assert!(exception(quoting)["value"].as_str().unwrap().contains("withheld"));
    let frames = exception(quoting)["stacktrace"]["frames"].to_string();
    assert!(frames.contains("told::quote"), "{frames}");
    assert_eq!(quoting["tags"]["run"], RUN);
}

#[test]
fn the_hosts_name_is_told_when_it_is_given() {
    let (events, _) = told(&[("SENTRY_SERVER_NAME", "node-7"), ("SENTRY_ENVIRONMENT", "canary")]);
    assert_eq!(
        (&events[0]["server_name"], &events[0]["environment"]),
        (&"node-7".into(), &"canary".into())
    );
}

#[test]
fn the_log_filter_does_not_hide_errors_from_reports() {
    let (events, _) = told(&[("RUST_LOG", "off")]);
    assert_eq!(events.len(), 5, "{events:#?}");
}

/// The process ends although nothing is ever answered: `tell` fails otherwise.
#[test]
fn a_sentry_that_hangs_does_not_hold_the_end_up() {
    let (dsn, kept) = sentry(false);
    tell("errors", &[("SENTRY_DSN", dsn.as_str())]);
    assert!(!kept.lock().unwrap().is_empty(), "it was not even tried");
}
