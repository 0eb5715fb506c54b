//! `bench`: a small load through the product, and straight to the simulator. That it counts right is tested; how fast it is, never.

use std::process::Stdio;

use serde_json::Value;
use simulator::{Simulator, SimulatorConfig};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::program::{mcpctl, run};

async fn simulator() -> Simulator {
    Simulator::bind("127.0.0.1:0", SimulatorConfig::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn every_run_is_answered_and_counted() {
    let simulator = simulator().await;
    let provider = simulator.base_url();
    for arrivals in ["spread", "wave"] {
        let before = simulator.stats();
        let args = [
            "bench",
            "paced",
            "--direct",
            &provider,
            "--arrivals",
            arrivals,
            "-c",
            "4",
            "--runs",
            "12",
            "--tokens",
            "5",
            "--first",
            "2ms",
            "--pace",
            "1ms",
            "--threads",
            "2",
            "-o",
            "json",
        ];
        let ended = run("", &args).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let report = ended.json().remove(0);
        assert_eq!(
            (&report["runs"], &report["failed"]),
            (&Value::from(12), &Value::from(0)),
            "{report}"
        );
        assert_eq!(report["first_token_ms"]["count"], 12, "{report}");
        assert!(
            report["first_token_ms"]["p50"].as_f64().unwrap() >= 2.0,
            "{report}"
        );
        let tokens = report["tokens_per_second"].as_f64().unwrap() * report["seconds"].as_f64().unwrap();
        assert!((tokens - 60.0).abs() < 0.01, "{report}");
        let after = simulator.stats();
        assert_eq!(after.completed - before.completed, 12, "{after:?}");
        assert_eq!(after.tokens - before.tokens, 60, "{after:?}");
    }
}

#[tokio::test]
async fn a_control_plane_is_read_to_the_end_of_each_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut up = mcpctl("", &["up", "--port", "0", "--data", data.to_str().unwrap()])
        // With nothing of the environment, so that the simulator answers.
        .env_clear()
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let server = loop {
        let line = lines.next_line().await.unwrap().expect("it says where it is");
        if let Some(url) = line.trim().strip_prefix("API") {
            break url.trim().strip_suffix("/mcp/v1/request").unwrap().to_owned();
        }
    };
    let ended = run(
        &server,
        &["bench", "flat", "-c", "4", "--runs", "20", "-o", "json"],
    )
    .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = ended.json().remove(0);
    assert_eq!(
        (&report["runs"], &report["failed"]),
        (&Value::from(20), &Value::from(0)),
        "{report}"
    );
    let tokens = report["tokens_per_second"].as_f64().unwrap() * report["seconds"].as_f64().unwrap();
    assert!((tokens - 320.0).abs() < 0.01, "{report}");

    let ended = run(
        &server,
        &["bench", "submit", "-c", "2", "--runs", "6", "-o", "json"],
    )
    .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = ended.json().remove(0);
    assert_eq!(
        (&report["runs"], &report["accepted_ms"]["count"]),
        (&Value::from(6), &Value::from(6)),
        "{report}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let simulator = simulator().await;
    let provider = simulator.base_url();
    let model = "sim:tokens=5,fault=cut,after=2";
    let args = [
        "bench", "flat", "--direct", &provider, "--model", model, "-c", "2", "--runs", "4", "-o", "json",
    ];
    let ended = run("", &args).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("the answer broke off"), "{ended:?}");
    let report = ended.json().remove(0);
    assert_eq!(
        (&report["runs"], &report["failed"]),
        (&Value::from(0), &Value::from(4)),
        "{report}"
    );
}

#[tokio::test]
async fn nobody_there_is_said() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let server = format!("http://{free}");
    let ended = run(&server, &["bench", "noop", "-c", "1", "--runs", "1"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.stderr.contains("nothing was answered: cannot connect"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn answers_in_one_piece_are_read_as_those_in_a_stream() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut up = mcpctl("", &["up", "--port", "0", "--data", data.to_str().unwrap()])
        .env_clear()
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let server = loop {
        let line = lines.next_line().await.unwrap().expect("it says where it is");
        if let Some(url) = line.trim().strip_prefix("API") {
            break url.trim().strip_suffix("/mcp/v1/request").unwrap().to_owned();
        }
    };
    let load = [
        "bench", "flat", "--whole", "--tokens", "7", "-c", "2", "--runs", "6", "-o", "json",
    ];
    let provider = simulator.base_url();
    for (server, way) in [(server.as_str(), &[][..]), ("", &["--direct", &provider][..])] {
        let ended = run(server, &[&load[..], way].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let report = ended.json().remove(0);
        assert_eq!(
            (&report["runs"], &report["failed"], &report["streamed"]),
            (&Value::from(6), &Value::from(0), &Value::from(false)),
            "{report}"
        );
        let tokens = report["tokens_per_second"].as_f64().unwrap() * report["seconds"].as_f64().unwrap();
        assert!((tokens - 42.0).abs() < 0.01, "{report}");
    }
    // Refused at once: a fault of the provider's would open its breaker, and the runs would wait for that to close.
    let model = "sim:tokens=7,fault=400";
    let args = [&load[..], &["--model", model]].concat();
    let ended = run(&server, &args).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("the run failed: "), "{ended:?}");
}

#[tokio::test]
async fn a_gateway_is_asked_for_its_own_name_and_told_what_it_needs() {
    let simulator = simulator().await;
    let provider = simulator.base_url();
    // Under this name the simulator's answers are not as long as the load's; the header makes them so.
    let named = [
        "bench",
        "flat",
        "--direct",
        &provider,
        "--alias",
        "sim:tokens=5",
        "-c",
        "2",
        "--runs",
        "4",
        "-o",
        "json",
    ];
    let ended = run("", &named).await;
    assert_eq!(
        ended.json()[0]["errors"]["5 tokens instead of 16"],
        4,
        "{ended:?}"
    );
    let ended = run(
        "",
        &[
            &named[..],
            &["--header", "x-simulator=tokens=16,first=0ms,pace=0ms"],
        ]
        .concat(),
    )
    .await;
    assert_eq!(
        (ended.code, &ended.json()[0]["failed"]),
        (0, &Value::from(0)),
        "{ended:?}"
    );
}

#[tokio::test]
async fn nothing_is_sent_before_the_line() {
    let simulator = simulator().await;
    let provider = simulator.base_url();
    let args = [
        "bench",
        "noop",
        "--direct",
        &provider,
        "-c",
        "1",
        "--runs",
        "3",
        "--on-line",
        "-o",
        "json",
    ];
    let ended = run("", &args).await;
    assert_eq!(ended.code, 2, "its input ends at once: {ended:?}");
    assert_eq!(simulator.stats().completed, 0);

    let mut bench = mcpctl("", &args).stdin(Stdio::piped()).spawn().unwrap();
    bench.stdin.take().unwrap().write_all(b"\n").await.unwrap();
    let ended = bench.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(simulator.stats().completed, 3);
}
