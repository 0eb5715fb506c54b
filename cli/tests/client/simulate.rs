//! `simulate`: a provider on a free port that ends when it is told to.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::program::{mcpctl, run};

#[tokio::test]
async fn it_says_where_it_is_and_answers_there() {
    let mut child = mcpctl(
        "",
        &[
            "simulate",
            "--host",
            "127.0.0.2",
            "--port",
            "0",
            "--seed",
            "7",
            "-o",
            "json",
        ],
    )
    .spawn()
    .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["simulated"], true);
    let base_url = said["base_url"].as_str().unwrap();
    assert!(base_url.starts_with("http://127.0.0.2:"), "{base_url}");
    let models = format!("{base_url}/models");
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .get(models)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-simulated"], "true");
    let pid = child.id().unwrap().to_string();
    assert!(
        tokio::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    let status = timeout(Duration::from_secs(60), child.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = run("", &["simulate", "--port", &port]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.stderr.contains(&port) && ended.stderr.contains("--port 0"),
        "{ended:?}"
    );
}
