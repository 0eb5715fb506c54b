//! `kill -9` of whoever executes: its runs go on elsewhere, what that takes back is announced, and each ends once.

use serde_json::{Value, json};

use crate::stage::client::{PROMPT, answer, assert_sound, kinds, parsed, plot};
use crate::stage::{Mode, Stage, Watcher, all_modes};

/// The log of a run whose executor died in mid-stream.
const REWOUND: [&str; 10] = [
    "run.queued",
    "attempt.started",
    "route.selected",
    "output.delta",
    "run.requeued",
    "attempt.started",
    "route.selected",
    "output.delta",
    "usage.reported",
    "run.succeeded",
];

/// The first call stops after five tokens and stays open; the next one is answered with thirty.
fn stalls_once(key: &str) -> String {
    format!("sim:tokens=30,fault=stall,after=5,times=1,key={key}")
}

fn attempts(events: &[Value]) -> Vec<&Value> {
    let starts = events.iter().filter(|event| event["type"] == "attempt.started");
    starts.map(|event| &event["data"]).collect()
}

fn the<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let mut found = events.iter().filter(|event| event["type"] == kind);
    let event = found.next().unwrap_or_else(|| panic!("no {kind}: {events:#?}"));
    assert_eq!(found.next(), None, "more than one {kind}");
    &event["data"]
}

fn assert_rewound(events: &[Value]) {
    assert_sound(events);
    assert_eq!(plot(events), REWOUND);
    assert_eq!(the(events, "run.requeued")["reason"], "worker_lost");
    let attempts = attempts(events);
    assert_eq!(attempts[0].get("void_after"), None);
    assert_eq!(attempts[1]["void_after"], "0-1");
    assert_ne!(attempts[0]["worker"], attempts[1]["worker"]);
    assert_eq!(answer(events).text, Stage::text(30));
}

all_modes! {
    async fn in_mid_stream_the_answer_is_rewound_and_given_once(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to(&stalls_once("a")).await;
        let mut watcher = client.watch(&run, None).await;
        watcher.until("output.delta").await;
        stage.kill_executor_and_replace().await;

        let frames = stage.read_on(&run, watcher).await;
        assert_rewound(&parsed(&frames));
        let client = stage.client();
        assert_eq!(client.watch(&run, None).await.rest().await, frames);
        let result = client.result(&run).await;
        assert_eq!(result["status"], "succeeded");
        assert_eq!(result["text"], Stage::text(30));
        assert_eq!(client.run(&run).await["attempts"], 2);
        assert_eq!(stage.simulator.stats().requests, 2);
        stage.close().await;
    }

    async fn a_run_that_must_not_be_rewound_fails_and_may_be_submitted_again(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let client = stage.client();
        let body = json!({"prompt": PROMPT, "model": stalls_once("a"), "on_interruption": "fail"});
        let run = client.submit(&body).await;
        let mut watcher = client.watch(&run, None).await;
        watcher.until("output.delta").await;
        stage.kill_executor_and_replace().await;

        let events = parsed(&stage.read_on(&run, watcher).await);
        assert_sound(&events);
        let kinds = ["run.queued", "attempt.started", "route.selected", "output.delta", "run.failed"];
        assert_eq!(plot(&events), kinds);
        let failed = the(&events, "run.failed");
        assert_eq!((&failed["code"], &failed["retryable"]), (&json!("interrupted"), &json!(true)));
        let result = stage.client().result(&run).await;
        assert_eq!(result["status"], "failed");
        assert_eq!((&result["error"]["code"], &result["error"]["retryable"]), (&json!("interrupted"), &json!(true)));
        // What there was of the answer is the fold over the log here as well.
        assert_eq!(result["text"], answer(&events).text);
        assert!(Stage::text(5).starts_with(&answer(&events).text) && !answer(&events).text.is_empty());
        assert_eq!(stage.simulator.stats().requests, 1);
        stage.close().await;
    }

    async fn before_the_first_token_nobody_notices(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let client = stage.client();
        let mut runs = Vec::new();
        for policy in ["restart", "fail"] {
            let model = format!("sim:tokens=10,fault=stall_headers,times=1,key={policy}");
            let body = json!({"prompt": PROMPT, "model": model, "on_interruption": policy});
            runs.push(client.submit(&body).await);
        }
        stage.simulator.wait_for(|stats| stats.open == 2).await;
        stage.kill_executor_and_replace().await;
        let client = stage.client();
        for run in &runs {
            let events = parsed(&client.watch(run, None).await.rest().await);
            assert_sound(&events);
            let attempts = attempts(&events);
            assert_eq!(attempts.len(), 2);
            assert!(attempts.iter().all(|attempt| attempt.get("void_after").is_none()));
            assert_eq!(the(&events, "run.requeued")["reason"], "worker_lost");
            assert_eq!(answer(&events).text, Stage::text(10));
            assert_eq!(client.result(run).await["text"], Stage::text(10));
        }
        assert_eq!(stage.simulator.stats().requests, 4);
        stage.close().await;
    }

    async fn killing_everything_loses_nothing(mode: Mode) {
        let mut stage = Stage::with(mode, &[("MCP_SLOTS", "2")]).await;
        let client = stage.client();
        let finished = client.submit_to("sim:tokens=20").await;
        let replay = client.watch(&finished, None).await.rest().await;
        let (row, result) = (client.run(&finished).await, client.result(&finished).await);
        let mut interrupted = Vec::new();
        for key in ["a", "b"] {
            let run = client.submit_to(&stalls_once(key)).await;
            client.watch(&run, None).await.until("output.delta").await;
            interrupted.push(run);
        }
        let mut queued = Vec::new();
        for priority in [0, 50, 100] {
            let body = json!({"prompt": PROMPT, "model": "sim:tokens=30", "priority": priority});
            let run = client.submit(&body).await;
            assert_eq!(client.run(&run).await["status"], "queued");
            queued.push(run);
        }
        stage.kill_everything_and_start_again().await;

        let client = stage.client();
        for run in &interrupted {
            assert_rewound(&parsed(&client.watch(run, None).await.rest().await));
            assert_eq!(client.result(run).await["text"], Stage::text(30));
        }
        for run in &queued {
            let events = parsed(&client.watch(run, None).await.rest().await);
            assert_sound(&events);
            assert_eq!(attempts(&events).len(), 1);
            assert_eq!(client.result(run).await["text"], Stage::text(30));
        }
        assert_eq!(client.watch(&finished, None).await.rest().await, replay);
        assert_eq!(client.run(&finished).await, row);
        assert_eq!(client.result(&finished).await, result);
        // One for what was finished or queued, two for what was interrupted.
        assert_eq!(stage.simulator.stats().requests, 1 + 3 + 2 * 2);
        stage.close().await;
    }

    async fn a_run_that_kills_its_worker_ten_times_is_given_up(mode: Mode) {
        let mut stage = Stage::with(mode, &[("MCP_LEASE_MS", "800")]).await;
        if mode.is_cluster() {
            // Somebody is always there to notice.
            stage.start_worker().await;
        }
        let client = stage.client();
        let run = client.submit_to("sim:fault=stall_headers").await;
        let mut watcher = client.watch(&run, None).await;
        for attempt in 1..=10 {
            let started = watcher.until("attempt.started").await;
            assert_eq!(started["data"]["attempt"], attempt);
            watcher = kill_holder(&mut stage, &run, watcher, &started["data"]["worker"]).await;
        }
        let events = parsed(&watcher.rest().await);
        let failed = the(&events, "run.failed");
        assert_eq!((&failed["code"], &failed["retryable"]), (&json!("crashed_too_often"), &json!(true)));
        let client = stage.client();
        let history = client.history(&run).await;
        assert_sound(&history);
        assert_eq!(attempts(&history).len(), 10);
        assert_eq!(kinds(&history).iter().filter(|kind| *kind == "run.requeued").count(), 9);
        let result = client.result(&run).await;
        assert_eq!((&result["status"], &result["error"]["code"]), (&json!("failed"), &json!("crashed_too_often")));
        // It was given up, not the installation.
        let next = client.submit_to("sim:tokens=3").await;
        assert_eq!(client.result(&next).await["text"], Stage::text(3));
        stage.close().await;
    }
}

/// Kills the process that this worker lives in and starts another one; returns who watches from then on.
async fn kill_holder(stage: &mut Stage, run: &str, watcher: Watcher, worker: &Value) -> Watcher {
    match stage.mode {
        Mode::Embedded => {
            stage.kill_executor_and_replace().await;
            stage.client().watch(run, watcher.last().as_deref()).await
        }
        Mode::Cluster | Mode::Redis => {
            let worker = worker.as_str().expect("an id");
            let holds = |process: &crate::stage::Process| process.log().contains(worker);
            let holder = stage.workers.iter().position(holds).expect("a process of ours");
            stage.workers.remove(holder).kill().await;
            stage.start_worker().await;
            watcher
        }
    }
}
