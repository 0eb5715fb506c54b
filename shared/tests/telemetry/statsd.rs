//! Metrics at an agent, beside Prometheus.

use std::process::{Command, Stdio};

use crate::agent::{Agent, Line};
use crate::process::{tell, text};

fn line(name: &str, value: f64, kind: &str, tags: &[(&str, &str)]) -> Line {
    let service = [("service", "goblin"), ("env", "staging_eu"), ("version", "1.2")];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Line {
        name: name.to_owned(),
        value,
        kind: kind.to_owned(),
        tags: service.iter().chain(tags).map(owned).collect(),
    }
}

#[test]
fn both_sides_get_every_metric_under_the_same_words() {
    let agent = Agent::listen();
    let output = tell(
        "measurements",
        &[
            ("DD_AGENT_HOST", "127.0.0.1"),
            ("DD_DOGSTATSD_PORT", &agent.port()),
            ("DD_SERVICE", "goblin"),
            ("DD_ENV", "staging,eu"),
            ("DD_VERSION", "1.2"),
        ],
    );
    let mut lines = agent.all();
    // Gauges are told again and again; what counts is that they end right.
    let gauges: Vec<Line> = lines.extract_if(.., |line| line.kind == "g").collect();
    lines.sort_by(|a, b| (&a.name, a.value).partial_cmp(&(&b.name, b.value)).unwrap());
    let ended = ("status", "succeeded");
    assert_eq!(
        lines,
        [
            line("goblin.mcp.request.count", 6.0, "c", &[ended, ("kind", "chat")]),
            line("goblin.mcp.request.latency_ms", 12.5, "d", &[ended]),
            line("goblin.mcp.request.latency_ms", 40.0, "d", &[ended]),
            line(
                "goblin.mcp.tokens",
                5.0,
                "c",
                &[("direction", "input"), ("model", "m_c_evil.count:9_c__a_b:c")],
            ),
        ]
    );
    for last in [
        line("goblin.mcp.running", 2.0, "g", &[]),
        line(
            "goblin.mcp.cost_estimate_usd",
            0.25,
            "g",
            &[("task_type", "chat")],
        ),
    ] {
        assert_eq!(gauges.iter().rfind(|line| line.name == last.name), Some(&last));
    }

    let prometheus = text(&output.stdout);
    for sample in [
        "mcp_request_count{status=\"succeeded\",kind=\"chat\"} 6",
        "mcp_request_latency_ms_count{status=\"succeeded\"} 2",
        "mcp_running 2",
        "mcp_cost_estimate_usd{task_type=\"chat\"} 0.25",
    ] {
        assert!(
            prometheus.lines().any(|line| line == sample),
            "{sample}\n{prometheus}"
        );
    }
}

#[test]
fn counters_are_told_once_and_gauges_again() {
    let agent = Agent::listen();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "told::measurements_that_never_stop",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("MCP_STATSD_HOST", "127.0.0.1")
        .env("MCP_STATSD_PORT", agent.port())
        .env("MCP_STATSD_PREFIX", "acme")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines: Vec<Line> = Vec::new();
    let gauges = |lines: &[Line]| {
        lines
            .iter()
            .filter(|line| line.name == "acme.mcp.watchers")
            .count()
    };
    while gauges(&lines) < 2 {
        lines.extend(agent.next());
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    lines.extend(agent.all());
    let refused: Vec<&Line> = lines
        .iter()
        .filter(|line| line.name == "acme.mcp.refused.count")
        .collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].value, 1.0);
}

#[test]
fn an_agent_that_is_away_loses_metrics_and_nothing_else() {
    let port = Agent::listen().port();
    let output = tell(
        "measurements",
        &[("DD_AGENT_HOST", "127.0.0.1"), ("DD_DOGSTATSD_PORT", &port)],
    );
    assert!(text(&output.stdout).contains("mcp_running 2"));
}

#[test]
fn a_host_without_an_address_is_refused_by_its_variable() {
    for variable in ["DD_AGENT_HOST", "MCP_STATSD_HOST"] {
        let output = tell("no_agent", &[(variable, "no host")]);
        let told = text(&output.stdout);
        assert!(
            told.contains(&format!("refused: {variable}: `no host` has no address")),
            "{told}"
        );
    }
}
