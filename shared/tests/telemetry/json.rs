//! Log lines for machines.

use serde_json::Value;

use crate::process::{tell, text};
use crate::told::{OTHER_RUN, RUN, TRACE, WORKER};

/// Every line of stderr, each a JSON object.
fn lines(variables: &[(&str, &str)]) -> Vec<Value> {
    let output = tell("lines", &[&[("MCP_LOG_FORMAT", "json")], variables].concat());
    let stderr = text(&output.stderr);
    let parsed = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = stderr.lines().map(parsed).collect();
    assert!(lines.iter().all(Value::is_object));
    lines
}

#[test]
fn a_line_is_an_object_with_stable_names() {
    let lines = lines(&[
        ("DD_SERVICE", "goblin"),
        ("DD_ENV", "staging"),
        ("DD_VERSION", "1.2"),
    ]);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for line in &lines {
        let moment = line["timestamp"].as_str().unwrap();
        let form: String = moment
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(form, "0000-00-00T00:00:00.000Z");
        let named = ["dd.service", "dd.env", "dd.version"].map(|name| line[name].as_str().unwrap());
        assert_eq!(named, ["goblin", "staging", "1.2"]);
    }
    assert_eq!(lines[0]["message"], "nothing around it");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["target"]),
        (&"INFO".into(), &"api::acceptor".into())
    );
    assert_eq!(lines[0].get("run"), None);
    assert_eq!(
        (&lines[1]["run"], &lines[1]["request_id"]),
        (&OTHER_RUN.into(), &"r-1".into())
    );
    assert_eq!(lines[1]["runs"], 3);
}

#[test]
fn spans_are_flattened_and_the_innermost_has_the_last_word() {
    let line = &lines(&[])[2];
    let around = ["run", "worker", "tenant", "traceparent"].map(|name| line[name].as_str().unwrap());
    assert_eq!(around, [RUN, WORKER, "acme", TRACE]);
    assert_eq!(line["epoch"], 3);
    assert_eq!(line["message"], "not\ncommitted");
    assert_eq!(line["error"], "first line\nsecond \"line\"");
    assert_eq!(
        (&line["level"], &line["field.level"]),
        (&"WARN".into(), &"mine".into())
    );
    assert_eq!(line["share"], Value::Null);
    assert!(line.get("dd.service").is_none());
}

#[test]
fn a_panic_is_one_line_that_names_its_run_and_its_place() {
    for filter in ["info", "error", "api=info"] {
        let lines = lines(&[("RUST_LOG", filter), ("RUST_BACKTRACE", "1")]);
        let panic = lines.last().unwrap();
        assert_eq!(
            (&panic["level"], &panic["target"]),
            (&"ERROR".into(), &"panic".into()),
            "{filter}"
        );
        assert_eq!(
            (&panic["message"], &panic["reason"]),
            (&"panicked".into(), &"no\npermit".into())
        );
        assert_eq!((&panic["run"], &panic["thread"]), (&RUN.into(), &"doomed".into()));
        assert!(
            panic["location"].as_str().unwrap().contains("told.rs:"),
            "{panic}"
        );
        assert!(
            panic["backtrace"].as_str().unwrap().contains("told::lines"),
            "{panic}"
        );
    }
}

#[test]
fn text_says_a_panic_in_one_line_too() {
    let output = tell("lines", &[("RUST_LOG", "error")]);
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("panicked") && stderr.contains(RUN), "{stderr}");
}
