//! Counters, the log, and the end of a simulator.

use serde_json::json;
use simulator::{Outcome, Simulator, SimulatorConfig, serve};
use tokio::{io::AsyncWriteExt, net::TcpListener, net::TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::{Reply, body, client, send, simulator, stream, whole};

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_is_noticed() {
    let simulator = simulator().await;
    // The next token is a day away, so only the disconnect itself can end this.
    let mut response = send(&simulator, &body("sim:pace=1440m", &json!({ "stream": true })))
        .await
        .unwrap();
    assert!(!response.chunk().await.unwrap().unwrap().is_empty());
    assert_eq!(simulator.stats().open_streams, 1);
    drop(response);
    let stats = simulator.wait_for(|stats| stats.open == 0).await;
    assert_eq!((stats.dropped, stats.open_streams, stats.completed), (1, 0, 0));
    assert_eq!(simulator.requests()[0].outcome, Some(Outcome::Dropped));
}

#[tokio::test]
async fn a_client_that_leaves_a_whole_answer_is_noticed() {
    let simulator = simulator().await;
    let body = body("sim:first=1440m", &json!({}));
    tokio::select! {
        response = send(&simulator, &body) => panic!("there must be no response: {response:?}"),
        _ = simulator.wait_for(|stats| stats.open == 1) => {}
    }
    let stats = simulator.wait_for(|stats| stats.dropped == 1).await;
    assert_eq!((stats.open, stats.peak_open, stats.completed), (0, 1, 0));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_stream_back() {
    let simulator = simulator().await;
    let response = send(
        &simulator,
        &body("sim-fast:tokens=1000000", &json!({ "stream": true })),
    )
    .await
    .unwrap();
    assert_eq!(simulator.stats().open_streams, 1);
    drop(response);
    let record = simulator
        .wait_for_request(|record| record.outcome.is_some())
        .await;
    assert_eq!(record.outcome, Some(Outcome::Dropped));
    assert!(
        record.tokens < 1_000_000,
        "an unread stream must not be produced in full"
    );
}

#[tokio::test]
async fn counters_and_log_are_served() {
    let simulator = simulator().await;
    let with_key = client()
        .post(format!("{}/chat/completions", simulator.base_url()))
        .bearer_auth("a-secret")
        .json(&body("sim:tokens=4", &json!({})))
        .send()
        .await
        .unwrap();
    Reply::read(with_key).await;
    assert!(stream(&simulator, "sim:tokens=3").await.is_done());
    whole(&simulator, "sim:fault=400").await;

    let base = format!("http://{}/simulator", simulator.addr());
    let stats = Reply::read(client().get(format!("{base}/stats")).send().await.unwrap())
        .await
        .json();
    assert_eq!(
        stats,
        json!({ "requests": 3, "open": 0, "peak_open": 1, "open_streams": 0, "completed": 2, "faulted": 1,
            "refused": 0, "dropped": 0, "tokens": 7 })
    );
    let log = Reply::read(client().get(format!("{base}/requests")).send().await.unwrap()).await;
    assert!(!String::from_utf8(log.body.clone()).unwrap().contains("a-secret"));
    let log = log.json();
    let sent: serde_json::Value = serde_json::from_str(log["data"][0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent, body("sim:tokens=4", &json!({})));
    assert_eq!(
        (&log["data"][0]["authorized"], &log["data"][1]["authorized"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&log["data"][1]["stream"], &log["data"][1]["model"]),
        (&json!(true), &json!("sim:tokens=3"))
    );
    assert_eq!(
        (&log["data"][2]["outcome"], &log["data"][2]["number"]),
        (&json!("faulted"), &json!(3))
    );
}

#[tokio::test]
async fn the_log_is_bounded_in_length_and_in_width() {
    let config = SimulatorConfig {
        request_log: 2,
        ..SimulatorConfig::default()
    };
    let simulator = Simulator::bind("127.0.0.1:0", config).await.unwrap();
    let prompt = "x".repeat(10 * 1024 * 1024);
    let large = body(
        "sim-fast",
        &json!({ "messages": [{ "role": "user", "content": prompt }] }),
    );
    for _ in 0..2 {
        whole(&simulator, "sim-fast").await;
    }
    assert_eq!(
        Reply::read(send(&simulator, &large).await.unwrap()).await.status,
        200
    );
    let log = simulator.requests();
    assert_eq!(log.iter().map(|record| record.number).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(
        (log[1].body.len(), log[1].body_bytes),
        (64 * 1024, large.to_string().len())
    );
}

#[tokio::test]
async fn shutdown_ends_everything_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, SimulatorConfig::default(), shutdown.clone()));
    let url = format!("http://{addr}/v1/chat/completions");
    let stalled = body("sim:fault=stall", &json!({ "stream": true }));
    let mut response = client().post(url).json(&stalled).send().await.unwrap();
    // A connection without a request, and one with half of a request.
    let _idle = TcpStream::connect(addr).await.unwrap();
    let mut half = TcpStream::connect(addr).await.unwrap();
    half.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nHost:")
        .await
        .unwrap();

    shutdown.cancel();
    server.await.unwrap().unwrap();
    assert!(response.chunk().await.is_err());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_client_that_pipelines() {
    let simulator = simulator().await;
    let body = body("sim:fault=stall_headers", &json!({})).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: simulator\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = TcpStream::connect(simulator.addr()).await.unwrap();
    client.write_all(request.repeat(2).as_bytes()).await.unwrap();
    simulator.wait_for(|stats| stats.open == 1).await;
    simulator.stop().await.unwrap();
}
