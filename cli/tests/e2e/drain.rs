//! SIGTERM: what runs may end, nothing new begins, nothing is lost, and the process says that all went well.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::client::{PROMPT, answer, assert_sound, parsed, plot};
use crate::stage::{Frame, Mode, Stage, all_modes, cluster_modes, soon};

/// The first call stops after five tokens and stays open; the next one is answered with thirty.
const STALLS_ONCE: &str = "sim:tokens=30,fault=stall,after=5,times=1";
/// Longer than a test may take: who does not wait for so long was told not to.
const FOR_EVER: &str = "600000";

/// The only event of this type.
fn the<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let mut found = events.iter().filter(|event| event["type"] == kind);
    let event = found.next().unwrap_or_else(|| panic!("no {kind}: {events:#?}"));
    assert_eq!(found.next(), None, "more than one {kind}");
    &event["data"]
}

/// The log of a run that was given back in mid-stream and answered by somebody else.
fn assert_handed_over(events: &[Value]) {
    assert_sound(events);
    assert_eq!(the(events, "run.requeued")["reason"], "released");
    let starts: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "attempt.started")
        .collect();
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[1]["data"]["void_after"], "0-1");
    assert_eq!(plot(events).last().expect("events"), "run.succeeded");
    assert_eq!(answer(events).text, Stage::text(30));
}

cluster_modes! {
    async fn a_worker_ends_what_it_runs_and_begins_nothing(mode: Mode) {
        let mut stage = Stage::with(mode, &[("MCP_DRAIN_MS", FOR_EVER)]).await;
        let client = stage.client();
        let mut watchers = Vec::new();
        for _ in 0..5 {
            let run = client.submit_to("sim:tokens=100,pace=15ms").await;
            let mut watcher = client.watch(&run, None).await;
            watcher.until("output.delta").await;
            watchers.push(watcher);
        }
        stage.workers[0].signal("TERM");
        stage.workers[0].log_with("claiming no more").await;
        let late = client.submit_to("sim:tokens=30").await;
        for watcher in watchers {
            let events = parsed(&watcher.rest().await);
            assert_sound(&events);
            let whole = [
                "run.queued",
                "attempt.started",
                "route.selected",
                "output.delta",
                "usage.reported",
                "run.succeeded",
            ];
            assert_eq!(plot(&events), whole);
            assert_eq!(answer(&events).text, Stage::text(100));
        }
        let status = stage.workers.remove(0).finish().await;
        assert!(status.success(), "{status}");
        assert_eq!(client.run(&late).await["status"], "queued");
        assert_eq!(stage.simulator.stats().requests, 5);

        stage.start_worker().await;
        assert_eq!(client.result(&late).await["text"], Stage::text(30));
        assert_eq!(client.run(&late).await["attempts"], 1);
        stage.close().await;
    }
}

all_modes! {
    async fn what_does_not_end_in_time_is_given_back(mode: Mode) {
        let mut stage = Stage::with(mode, &[("MCP_DRAIN_MS", "100")]).await;
        let client = stage.client();
        let run = client.submit_to(STALLS_ONCE).await;
        let silent = client.submit_to("sim:tokens=30,fault=stall_headers,times=1").await;
        let body = json!({"prompt": PROMPT, "model": "sim:fault=stall,after=5", "on_interruption": "fail"});
        let failing = client.submit(&body).await;
        for run in [&run, &failing] {
            client.watch(run, None).await.until("output.delta").await;
        }
        stage.simulator.wait_for(|stats| stats.open == 3).await;
        stage.executor().signal("TERM");
        let status = stage.executor().ended().await;
        assert!(status.success(), "{status}");
        // It has gone, and its calls with it.
        soon("no open call", stage.simulator.wait_for(|stats| stats.open == 0)).await;
        match mode {
            Mode::Embedded => drop(stage.start_api().await),
            Mode::Cluster | Mode::Redis => stage.start_worker().await,
        }
        let client = stage.client();
        assert_handed_over(&parsed(&client.watch(&run, None).await.rest().await));
        let events = parsed(&client.watch(&silent, None).await.rest().await);
        assert_eq!(the(&events, "run.requeued")["reason"], "released");
        assert!(events.iter().all(|event| event["data"].get("void_after").is_none()));
        assert_eq!(client.result(&silent).await["text"], Stage::text(30));
        let events = parsed(&client.watch(&failing, None).await.rest().await);
        assert_sound(&events);
        let failed = the(&events, "run.failed");
        assert_eq!((&failed["code"], &failed["retryable"]), (&json!("interrupted"), &json!(true)));
        assert_eq!(client.result(&failing).await["text"], answer(&events).text);
        assert_eq!(stage.simulator.stats().requests, 5);
        stage.close().await;
    }

    async fn a_second_signal_is_urgent(mode: Mode) {
        let mut stage = Stage::with(mode, &[("MCP_DRAIN_MS", FOR_EVER)]).await;
        let client = stage.client();
        let run = client.submit_to(STALLS_ONCE).await;
        client.watch(&run, None).await.until("output.delta").await;
        stage.executor().signal("TERM");
        stage.executor().log_with("claiming no more").await;
        stage.executor().signal("TERM");
        let status = stage.executor().ended().await;
        assert!(status.success(), "{status}");
        match mode {
            Mode::Embedded => drop(stage.start_api().await),
            Mode::Cluster | Mode::Redis => stage.start_worker().await,
        }
        assert_handed_over(&parsed(&stage.client().watch(&run, None).await.rest().await));
        stage.close().await;
    }
}

cluster_modes! {
    async fn an_api_sends_watchers_elsewhere_and_takes_nothing_new(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let first = stage.client();
        let run = first.submit_to(STALLS_ONCE).await;
        let mut watcher = first.watch(&run, None).await;
        watcher.until("output.delta").await;
        // A submit whose body is still on its way.
        let body = json!({"prompt": PROMPT}).to_string();
        let head = format!(
            "POST /mcp/v1/request HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        );
        let address = first.origin().strip_prefix("http://").expect("a URL");
        let mut socket = TcpStream::connect(address).await.expect("connected");
        socket.write_all(head.as_bytes()).await.expect("sent");
        let mut hundred = [0; 25];
        socket.read_exact(&mut hundred).await.expect("read");
        assert_eq!(&hundred, b"HTTP/1.1 100 Continue\r\n\r\n");

        let second = stage.start_api().await;
        stage.apis[0].signal("TERM");
        assert_eq!(watcher.closed().await, 1013);
        socket.write_all(body.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        soon("an answer", socket.read_to_string(&mut answer))
            .await
            .expect("read");
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"draining\""),
            "{answer}"
        );
        assert!(answer.contains("\r\nretry-after: "), "{answer}");
        let gone = stage.apis.remove(0).finish().await;
        assert!(gone.success(), "{gone}");

        // Watchers come back elsewhere with their cursor, and the refused submit left nothing behind.
        let mut elsewhere = second.watch(&run, watcher.last().as_deref()).await;
        stage.kill_executor_and_replace().await;
        elsewhere.until("run.succeeded").await;
        assert_eq!(elsewhere.next().await, Frame::Closed(1000));
        assert_eq!(
            stage.database().number("SELECT count(*) FROM mcp_request").await,
            1
        );
        stage.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_can_be_asked_while_its_runs_end_but_takes_nothing_new() {
    let mut stage = Stage::with(Mode::Embedded, &[("MCP_DRAIN_MS", FOR_EVER)]).await;
    let client = stage.client();
    let run = client.submit_to(STALLS_ONCE).await;
    let ending = client.submit_to("sim:tokens=60,pace=15ms").await;
    let mut watcher = client.watch(&run, None).await;
    watcher.until("output.delta").await;
    client.watch(&ending, None).await.until("output.delta").await;
    stage.executor().signal("TERM");
    assert_eq!(watcher.closed().await, 1013);

    let refused = client.post(&json!({"prompt": PROMPT})).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("draining"))
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(
        client.get("/health/ready").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let health = client.send(client.request(Method::GET, "/health")).await;
    assert_eq!(health.status, StatusCode::OK);
    // What was running ends; held answers are no watchers.
    soon("the end of a run", async {
        while client.run(&ending).await["status"] == "running" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(client.run(&ending).await["status"], "succeeded");
    assert_eq!(client.run(&run).await["status"], "running");

    stage.executor().signal("TERM");
    let status = stage.executor().ended().await;
    assert!(status.success(), "{status}");
    let client = stage.start_api().await;
    assert_handed_over(&parsed(&client.watch(&run, None).await.rest().await));
    assert_eq!(client.result(&ending).await["text"], Stage::text(60));
    assert_eq!(stage.simulator.stats().requests, 3);
    stage.close().await;
}
