//! The ledger goes away and comes back, under load: while it is away nothing is accepted, afterwards nothing is lost or
//! doubled, and its return is no stampede. Counted, not timed: provider calls, and connections to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::stage::client::{PROMPT, answer, assert_sound, parsed};
use crate::stage::postgres::{Postgres, Stop};
use crate::stage::wire::Wire;
use crate::stage::{Client, Database, Frame, Mode, Namespace, Stage, Watcher, cluster_modes, soon};

/// Of each of the three processes.
const CONNECTIONS: usize = 6;
/// Longer than any outage here.
const LONG_LEASE: &str = "60000";
/// Clients that submit one run after the other.
const CLIENTS: u64 = 6;
/// Clients that begin while it is away.
const LATE: u64 = 3;
/// Runs that stream when the ledger goes away.
const STREAMS: u64 = 10;

/// An API and two workers on a server of their own.
async fn open(mode: Mode, settings: &[(&str, &str)]) -> (Postgres, Stage) {
    let postgres = Postgres::start().await;
    let database = Database::create_on(postgres.url()).await;
    let namespace = (mode == Mode::Redis).then(Namespace::create);
    let mut stage = Stage::on(database, namespace, settings).await;
    assert_eq!(stage.mode, mode);
    stage.start_api().await;
    stage.start_worker().await;
    stage.start_worker().await;
    (postgres, stage)
}

/// Clients that submit until they are told to stop, each run under a key of its own and as often as it takes, and see
/// each to its end.
struct Load {
    clients: JoinSet<u64>,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, accepted) = <(Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let mut clients = JoinSet::new();
        for name in 0..CLIENTS {
            let client = client.clone();
            let (stop, accepted) = (Arc::clone(&stop), Arc::clone(&accepted));
            clients.spawn(async move {
                let (mut runs, refused) = (0, AtomicU64::new(0));
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("load-{name}-{runs}");
                    let run = submit(&client, &key, &format!("sim:tokens=10,key={key}"), &refused).await;
                    accepted.fetch_add(1, Ordering::Relaxed);
                    runs += 1;
                    assert_answered(&client, &run, client.try_watch(&run, None).await.ok(), 10).await;
                }
                runs
            });
        }
        Self {
            clients,
            stop,
            accepted,
        }
    }

    /// Waits until so many more were accepted.
    async fn accepted(&self, more: u64) {
        reached(&self.accepted, self.accepted.load(Ordering::Relaxed) + more).await;
    }

    /// More clients, each with one run; returns when each of them was refused.
    async fn refused(&mut self, client: &Client) {
        let mut each = Vec::new();
        for name in 0..LATE {
            let (client, refused) = (client.clone(), Arc::<AtomicU64>::default());
            each.push(Arc::clone(&refused));
            self.clients.spawn(async move {
                let key = format!("late-{name}");
                let run = submit(&client, &key, &format!("sim:tokens=10,key={key}"), &refused).await;
                assert_answered(&client, &run, client.try_watch(&run, None).await.ok(), 10).await;
                1
            });
        }
        join_all(each.iter().map(|refused| reached(refused, 1))).await;
    }

    /// Lets every client see its last run to the end; answers how many runs there were.
    async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut runs = 0;
        while let Some(client) = soon("every client's last run", self.clients.join_next()).await {
            runs += client.expect("a client that saw what it was promised");
        }
        runs
    }
}

/// Waits until something that goes on by itself was counted so often.
async fn reached(counter: &AtomicU64, least: u64) {
    soon("progress of the load", async {
        while counter.load(Ordering::Relaxed) < least {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Submits until it is accepted. A refusal says that waiting helps, and how long to.
async fn submit(client: &Client, key: &str, model: &str, refused: &AtomicU64) -> String {
    loop {
        let request = client
            .request(Method::POST, "/mcp/v1/request")
            .header("idempotency-key", key);
        let reply = client
            .send(request.json(&json!({"prompt": PROMPT, "model": model})))
            .await;
        if reply.status == StatusCode::ACCEPTED {
            return reply.body["request_id"].as_str().expect("an id").to_owned();
        }
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("ledger_unavailable")),
            "{}",
            reply.body
        );
        refused.fetch_add(1, Ordering::Relaxed);
        let seconds = reply.headers["retry-after"]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// Watches a run to its end and checks its log and text; who is sent away comes back with the latest cursor.
async fn assert_answered(client: &Client, run: &str, watcher: Option<Watcher>, tokens: u32) -> Vec<Value> {
    let mut watcher = watcher;
    let mut seen: Vec<String> = Vec::new();
    let events = soon("the end of a run", async {
        loop {
            if let Some(mut open) = watcher.take() {
                let code = loop {
                    match open.next().await {
                        Frame::Event(_) => {}
                        Frame::Closed(code) => break code,
                        Frame::Broken => panic!("broken, though the API lives"),
                    }
                };
                seen.extend_from_slice(open.seen());
                if code == 1000 {
                    return parsed(&seen);
                }
                assert_eq!(code, 1013, "{seen:#?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let after = seen
                .last()
                .map(|text| parsed(std::slice::from_ref(text))[0]["cursor"].clone());
            let after = after.as_ref().and_then(Value::as_str);
            watcher = client.try_watch(run, after).await.ok();
        }
    })
    .await;
    assert_sound(&events);
    assert_eq!(answer(&events).text, Stage::text(tokens));
    events
}

/// Submits runs that stream slowly and watches each until it does.
async fn stream(client: &Client, tokens: u32) -> Vec<(String, Watcher)> {
    let mut streams = Vec::new();
    for index in 0..STREAMS {
        let run = client
            .submit_to(&format!("sim:tokens={tokens},pace=20ms,key=stream-{index}"))
            .await;
        let mut watcher = client.watch(&run, None).await;
        watcher.until("output.delta").await;
        streams.push((run, watcher));
    }
    streams
}

/// What the ledger must hold in the end: so many runs, each with one end and one result.
async fn assert_nothing_lost_or_doubled(stage: &Stage, runs: u64) {
    let database = stage.database();
    let runs = i64::try_from(runs).expect("a number");
    assert_eq!(database.number("SELECT count(*) FROM mcp_request").await, runs);
    assert_eq!(
        database
            .number("SELECT count(*) FROM mcp_request WHERE status = 'succeeded'")
            .await,
        runs
    );
    assert_eq!(database.number("SELECT count(*) FROM mcp_result").await, runs);
    let ends =
        "SELECT count(*) FROM mcp_event WHERE type IN ('run.succeeded', 'run.failed', 'run.cancelled')";
    assert_eq!(database.number(ends).await, runs);
}

/// The simulator has handed over every answer of the streams.
async fn all_streams_ended(stage: &Stage) {
    soon("the end of every stream", async {
        loop {
            let requests = stage.simulator.requests();
            let streams = requests
                .iter()
                .filter(|request| request.model.contains("key=stream-"));
            let ended = streams.filter(|request| request.outcome == Some(simulator::Outcome::Completed));
            if ended.count() == usize::try_from(STREAMS).expect("a number") {
                return;
            }
            let open = stage.simulator.stats().open;
            stage.simulator.wait_for(|stats| stats.open != open).await;
        }
    })
    .await;
}

/// Reading and readiness say that the ledger is away, too.
async fn assert_away(client: &Client, run: &str) {
    for path in [
        format!("/mcp/v1/request/{run}"),
        format!("/mcp/v1/request/{run}/result"),
    ] {
        let reply = client.get(&path).await;
        assert_eq!(
            reply.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{path}: {}",
            reply.body
        );
        assert!(reply.headers.contains_key("retry-after"), "{path}");
    }
    assert_eq!(
        client.get("/health/ready").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(client.get("/healthz").await.status, StatusCode::OK);
}

async fn a_short_outage(mode: Mode, how: Stop) {
    let (postgres, stage) = open(mode, &[("MCP_LEASE_MS", LONG_LEASE)]).await;
    let client = stage.client();
    let mut load = Load::start(&client);
    load.accepted(2 * CLIENTS).await;
    let streams = stream(&client, 150).await;

    postgres.stop(how);
    load.refused(&client).await;
    assert_away(&client, &streams[0].0).await;
    // Their providers say everything while nobody can write it down.
    all_streams_ended(&stage).await;
    let connections = postgres.connections();
    postgres.start_again();

    load.accepted(2 * CLIENTS).await;
    let checks = streams.into_iter().map(async |(run, watcher)| {
        let events = assert_answered(&client, &run, Some(watcher), 150).await;
        assert_eq!(
            events
                .iter()
                .filter(|event| event["type"] == "attempt.started")
                .count(),
            1,
            "{run}"
        );
    });
    join_all(checks).await;
    let runs = load.stop().await + STREAMS;
    assert_nothing_lost_or_doubled(&stage, runs).await;
    // Nothing was executed twice, and nobody connected more often than needed: a pool for each process, and those of
    // this test's own questions.
    assert_eq!(stage.simulator.stats().requests, runs);
    let came = postgres.connections() - connections;
    assert!(came <= 3 * CONNECTIONS + 10, "{came} connections");
    stage.close().await;
}

cluster_modes! {
    async fn a_short_outage_costs_nobody_a_second_call(mode: Mode) {
        a_short_outage(mode, Stop::Fast).await;
    }

    async fn nor_does_a_crash_of_the_server(mode: Mode) {
        a_short_outage(mode, Stop::Immediate).await;
    }

    async fn after_an_outage_longer_than_the_lease_runs_go_on_and_end_once(mode: Mode) {
        let (postgres, mut stage) = open(mode, &[]).await;
        let client = stage.client();
        let mut load = Load::start(&client);
        load.accepted(2 * CLIENTS).await;
        let mut streams = Vec::new();
        for index in 0..STREAMS {
            let model = format!("sim:tokens=30,fault=stall,after=5,times=1,key=stream-{index}");
            let run = client.submit_to(&model).await;
            let mut watcher = client.watch(&run, None).await;
            watcher.until("output.delta").await;
            streams.push((run, watcher));
        }

        postgres.stop(Stop::Fast);
        load.refused(&client).await;
        // Both workers give up by their own clocks, and with their runs the calls.
        for worker in &mut stage.workers {
            worker.log_with("beginning again as a new incarnation").await;
        }
        soon("no open call", stage.simulator.wait_for(|stats| stats.open == 0)).await;
        let connections = postgres.connections();
        postgres.start_again();

        load.accepted(2 * CLIENTS).await;
        let checks = streams.into_iter().map(async |(run, watcher)| {
            let events = assert_answered(&client, &run, Some(watcher), 30).await;
            let starts: Vec<_> = events
                .iter()
                .filter(|event| event["type"] == "attempt.started")
                .collect();
            assert_eq!(starts.len(), 2, "{run}");
            assert_eq!(starts[1]["data"]["void_after"], "0-1");
        });
        join_all(checks).await;
        let runs = load.stop().await + STREAMS;
        assert_nothing_lost_or_doubled(&stage, runs).await;
        // Only what was running when the ledger went away was executed again, once.
        let calls = stage.simulator.stats().requests;
        assert!(
            (runs + STREAMS..=runs + STREAMS + CLIENTS).contains(&calls),
            "{calls} calls for {runs} runs"
        );
        let came = postgres.connections() - connections;
        assert!(came <= 3 * CONNECTIONS + 10, "{came} connections");
        stage.close().await;
    }

    async fn a_server_that_hangs_is_away_as_well(mode: Mode) {
        let (postgres, stage) = open(mode, &[("MCP_LEASE_MS", LONG_LEASE), ("MCP_DATABASE_TIMEOUT_MS", "1000")]).await;
        let client = stage.client();
        let mut load = Load::start(&client);
        load.accepted(2 * CLIENTS).await;
        let streams = stream(&client, 150).await;

        postgres.freeze();
        load.refused(&client).await;
        assert_away(&client, &streams[0].0).await;
        all_streams_ended(&stage).await;
        postgres.thaw();

        load.accepted(2 * CLIENTS).await;
        let checks = streams.into_iter().map(async |(run, watcher)| {
            assert_answered(&client, &run, Some(watcher), 150).await;
        });
        join_all(checks).await;
        let runs = load.stop().await + STREAMS;
        assert_nothing_lost_or_doubled(&stage, runs).await;
        assert_eq!(stage.simulator.stats().requests, runs);
        stage.close().await;
    }

    async fn connections_that_died_silently_are_replaced(mode: Mode) {
        let server = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL");
        let server = url::Url::parse(&server).expect("a URL");
        let wire = Wire::to(&server).await;
        let database = Database::create_on(wire.through(&server)).await;
        let namespace = (mode == Mode::Redis).then(Namespace::create);
        let mut stage = Stage::on(database, namespace, &[("MCP_DATABASE_TIMEOUT_MS", "500")]).await;
        let client = stage.start_api().await;
        stage.start_worker().await;
        let load = Load::start(&client);
        load.accepted(2 * CLIENTS).await;

        wire.lose_connections();
        // Every client's run goes all the way again: accepted, claimed, written down, watched, and then the next one.
        load.accepted(3 * CLIENTS).await;
        let runs = load.stop().await;
        assert_nothing_lost_or_doubled(&stage, runs).await;
        stage.close().await;
    }
}
