//! Cancel ends a run in one state, wherever it is, and drops the provider call.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::stage::client::{PROMPT, answer, assert_sound, kinds, parsed, plot};
use crate::stage::{Client, Mode, Stage, all_modes, cluster_modes, soon};

/// Cancels a run that is being executed, and checks what holds for each: one terminal `run.cancelled`, the call
/// dropped, and a second cancel that changes nothing. Returns the log.
async fn cancelled(stage: &Stage, client: &Client, run: &str) -> Vec<Value> {
    let watcher = client.watch(run, None).await;
    let reply = client.cancel(run).await;
    assert!(
        matches!(reply.status, StatusCode::ACCEPTED | StatusCode::OK),
        "{}",
        reply.body
    );
    let frames = watcher.rest().await;
    soon(
        "the call to be dropped",
        stage.simulator.wait_for(|stats| stats.open == 0),
    )
    .await;
    assert_eq!(stage.simulator.stats().requests, 1);
    assert_ended_as_cancelled(client, run, &frames).await
}

async fn assert_ended_as_cancelled(client: &Client, run: &str, frames: &[String]) -> Vec<Value> {
    let events = parsed(frames);
    assert_sound(&events);
    assert_eq!(kinds(&events).last().expect("events"), "run.cancelled");
    let again = client.cancel(run).await;
    assert_eq!(
        (again.status, &again.body["status"]),
        (StatusCode::OK, &json!("cancelled")),
        "{}",
        again.body
    );
    let result = client.result(run).await;
    assert_eq!(
        (&result["status"], &result["error"]),
        (&json!("cancelled"), &Value::Null)
    );
    assert_eq!(result["text"], answer(&events).text);
    assert_eq!(
        client.watch(run, None).await.rest().await,
        frames,
        "nothing follows a terminal event"
    );
    events
}

cluster_modes! {
    async fn before_there_is_a_worker(mode: Mode) {
        let mut stage = Stage::empty(mode, &[]).await;
        let client = stage.start_api().await;
        let run = client.submit_to("sim:tokens=5").await;
        let watcher = client.watch(&run, None).await;
        let reply = client.cancel(&run).await;
        assert_eq!(
            (reply.status, &reply.body["status"]),
            (StatusCode::OK, &json!("cancelled"))
        );
        let frames = watcher.rest().await;
        let events = assert_ended_as_cancelled(&client, &run, &frames).await;
        assert_eq!(kinds(&events), ["run.queued", "run.cancelled"]);
        // A worker that comes later leaves it alone.
        stage.start_worker().await;
        let next = client.submit_to("sim:tokens=5").await;
        assert_eq!(client.result(&next).await["status"], "succeeded");
        assert_eq!(client.watch(&run, None).await.rest().await, frames);
        assert_eq!(stage.simulator.stats().requests, 1);
        stage.close().await;
    }
}

all_modes! {
    async fn while_all_slots_are_taken(mode: Mode) {
        let stage = Stage::with(mode, &[("MCP_SLOTS", "1")]).await;
        let client = stage.client();
        let first = client.submit_to("sim:fault=stall,after=5").await;
        client.watch(&first, None).await.until("output.delta").await;
        let run = client.submit_to("sim:tokens=5").await;
        let watcher = client.watch(&run, None).await;
        assert_eq!(client.cancel(&run).await.status, StatusCode::OK);
        let events = assert_ended_as_cancelled(&client, &run, &watcher.rest().await).await;
        assert_eq!(kinds(&events), ["run.queued", "run.cancelled"]);
        // And what holds the slot gives it back.
        cancelled(&stage, &client, &first).await;
        let next = client.submit_to("sim:tokens=5").await;
        assert_eq!(client.result(&next).await["text"], Stage::text(5));
        stage.close().await;
    }

    async fn before_the_first_token(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to("sim:fault=stall_headers").await;
        stage.simulator.wait_for(|stats| stats.open == 1).await;
        let events = cancelled(&stage, &client, &run).await;
        assert_eq!(kinds(&events), ["run.queued", "attempt.started", "route.selected", "run.cancelled"]);
        assert_eq!(stage.simulator.stats().dropped, 1);
        stage.close().await;
    }

    async fn in_mid_stream_what_there_was_is_kept(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to("sim:tokens=100000,pace=10ms").await;
        client.watch(&run, None).await.until("output.delta").await;
        let events = cancelled(&stage, &client, &run).await;
        let plot = plot(&events);
        assert_eq!(plot, ["run.queued", "attempt.started", "route.selected", "output.delta", "run.cancelled"]);
        assert_eq!(events.last().expect("events")["data"]["by"], "client");
        let text = answer(&events).text;
        assert!(!text.is_empty() && Stage::text(10_000).starts_with(&text), "{text}");
        assert_eq!(stage.simulator.stats().dropped, 1);
        stage.close().await;
    }

    async fn a_call_that_is_not_streamed(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let body = json!({"prompt": PROMPT, "model": "sim:tokens=5,first=10m", "params": {"stream": false}});
        let run = client.submit(&body).await;
        stage.simulator.wait_for(|stats| stats.open == 1).await;
        assert!(!stage.simulator.requests()[0].stream);
        let events = cancelled(&stage, &client, &run).await;
        assert_eq!(kinds(&events), ["run.queued", "attempt.started", "route.selected", "run.cancelled"]);
        assert_eq!(stage.simulator.stats().dropped, 1);
        // The same without a cancel is answered.
        let body = json!({"prompt": PROMPT, "model": "sim:tokens=5", "params": {"stream": false}});
        let run = client.submit(&body).await;
        assert_eq!(client.result(&run).await["text"], Stage::text(5));
        assert!(stage.simulator.requests().iter().all(|request| !request.stream));
        stage.close().await;
    }

    async fn while_it_waits_for_another_try(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to("sim:fault=503,retry_after=3600").await;
        let mut watcher = client.watch(&run, None).await;
        watcher.until("run.requeued").await;
        assert_eq!(client.cancel(&run).await.status, StatusCode::OK);
        let frames = watcher.rest().await;
        assert_ended_as_cancelled(&client, &run, &frames).await;
        assert_eq!(stage.simulator.stats().requests, 1);
        stage.close().await;
    }

    async fn over_a_websocket(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to("sim:fault=stall,after=5").await;
        let mut watcher = client.watch(&run, None).await;
        watcher.until("output.delta").await;
        watcher.send(r#"{"type":"cancel"}"#).await;
        // Said twice, heard once.
        watcher.send(r#"{"type":"cancel"}"#).await;
        let frames = watcher.rest().await;
        assert_ended_as_cancelled(&client, &run, &frames).await;
        soon("the call to be dropped", stage.simulator.wait_for(|stats| stats.open == 0)).await;
        stage.close().await;
    }

    async fn after_the_end_it_is_too_late(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        for (model, status) in [("sim:tokens=5", "succeeded"), ("sim:fault=400", "failed")] {
            let run = client.submit_to(model).await;
            let frames = client.watch(&run, None).await.rest().await;
            let result = client.result(&run).await;
            assert_eq!(result["status"], status);
            let reply = client.cancel(&run).await;
            assert_eq!((reply.status, &reply.body["code"]), (StatusCode::CONFLICT, &json!("already_finished")));
            assert_eq!(reply.body["run_status"], status);
            assert_eq!(client.watch(&run, None).await.rest().await, frames);
            assert_eq!(client.result(&run).await, result);
        }
        stage.close().await;
    }

    async fn racing_with_the_end_there_is_one_end(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let race = async |index: u32| {
            // Answers of all lengths up to a few times what a cancel takes, and cancels at all points of them. The
            // first one would never end by itself, and the last one has ended: both ends do come about.
            let model = match index {
                0 => "sim:fault=stall".to_owned(),
                length => format!("sim:tokens={length},pace=20ms"),
            };
            let run = client.submit_to(&model).await;
            let mut watcher = client.watch(&run, None).await;
            let signs = [
                "run.queued",
                "attempt.started",
                "route.selected",
                "output.delta",
                "run.succeeded",
            ];
            watcher.until(signs[index as usize % signs.len()]).await;
            let replies = join_all([client.cancel(&run), client.cancel(&run)]).await;
            let seen = watcher.rest().await;
            (run, replies, seen)
        };
        let races = soon("every run's end", join_all((0..60).map(race))).await;
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for (run, replies, seen) in races {
            let events = parsed(&seen);
            assert_sound(&events);
            let end = kinds(&events).last().expect("events").clone();
            let status = end.strip_prefix("run.").expect("an end");
            for reply in replies {
                match reply.status {
                    StatusCode::OK => assert_eq!(status, "cancelled", "{}", reply.body),
                    StatusCode::CONFLICT => assert_eq!(status, "succeeded", "{}", reply.body),
                    // It was asked to stop, and ended one way or the other.
                    other => assert_eq!(other, StatusCode::ACCEPTED, "{}", reply.body),
                }
            }
            let result = client.result(&run).await;
            assert_eq!((&result["status"], &client.run(&run).await["status"]), (&json!(status), &json!(status)));
            assert_eq!(result["text"], answer(&events).text);
            assert_eq!(client.watch(&run, None).await.rest().await, seen);
            *ends.entry(status.to_owned()).or_default() += 1;
        }
        assert!(
            ends.len() == 2 && ends.values().sum::<usize>() == 60,
            "both ends come about: {ends:?}"
        );
        stage.close().await;
    }
}
