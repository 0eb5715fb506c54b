//! A worker that was stopped past its lease and wakes up again changes nothing: others have its runs by then, and have
//! ended them.

use serde_json::json;

use crate::stage::client::{PROMPT, answer, assert_sound, kinds, parsed};
use crate::stage::{LEASE, Mode, Stage, all_modes, cluster_modes, soon};

/// The first call stops after five tokens and stays open; the next one is answered with thirty.
const STALLS_ONCE: &str = "sim:tokens=30,fault=stall,after=5,times=1";

cluster_modes! {
    async fn a_worker_that_wakes_up_after_its_lease_changes_nothing(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let client = stage.client();
        // Its provider will have said everything while it sleeps: the end of this answer waits for it in the socket.
        let answered = client.submit_to("sim:tokens=150,pace=10ms").await;
        let in_mid_stream = client.submit_to(STALLS_ONCE).await;
        let body = json!({"prompt": PROMPT, "model": "sim:fault=stall,after=5", "on_interruption": "fail"});
        let failing = client.submit(&body).await;
        let silent = client
            .submit_to("sim:tokens=30,fault=stall_headers,times=1")
            .await;
        for run in [&answered, &in_mid_stream, &failing] {
            client.watch(run, None).await.until("output.delta").await;
        }
        stage.simulator.wait_for(|stats| stats.open == 4).await;
        stage.workers[0].signal("STOP");
        stage.start_worker().await;

        let runs = [&answered, &in_mid_stream, &failing, &silent];
        let mut before = Vec::new();
        for run in runs {
            let frames = client.watch(run, None).await.rest().await;
            assert_sound(&parsed(&frames));
            let result = client.get(&format!("/mcp/v1/request/{run}/result")).await;
            before.push((frames, result.body, stage.database().rows_of(run).await));
        }
        let statuses: Vec<_> = before
            .iter()
            .map(|(_, result, _)| result["status"].clone())
            .collect();
        assert_eq!(statuses, ["succeeded", "succeeded", "failed", "succeeded"]);
        assert_eq!(before[0].1["text"], Stage::text(150));
        // Both calls of the first run, and the second ones of two others.
        soon(
            "every answer",
            stage.simulator.wait_for(|stats| stats.completed == 4),
        )
        .await;
        let calls = stage.simulator.stats().requests;
        assert_eq!(calls, 4 + 3);

        stage.workers[0].signal("CONT");
        stage.workers[0]
            .log_with("beginning again as a new incarnation")
            .await;
        soon("no open call", stage.simulator.wait_for(|stats| stats.open == 0)).await;
        for (run, (frames, result, rows)) in runs.into_iter().zip(&before) {
            assert_eq!(&client.watch(run, None).await.rest().await, frames);
            let after = client.get(&format!("/mcp/v1/request/{run}/result")).await;
            assert_eq!(&after.body, result);
            assert_eq!(&stage.database().rows_of(run).await, rows);
        }
        assert_eq!(stage.simulator.stats().requests, calls);

        // It comes back as a new incarnation and works: the other one is sent away first.
        stage.workers.remove(1).stop().await;
        let next = client.submit_to("sim:tokens=3").await;
        assert_eq!(client.result(&next).await["text"], Stage::text(3));
        let worker =
            |events: &[serde_json::Value]| events[1]["data"]["worker"].as_str().expect("an id").to_owned();
        let first = worker(&client.history(&answered).await);
        let again = worker(&client.history(&next).await);
        assert_ne!(first, again);
        let log = stage.workers[0].log();
        assert!(log.contains(&first) && log.contains(&again), "{log}");
        stage.close().await;
    }
}

cluster_modes! {
    async fn a_cancel_does_not_wait_for_a_sleeping_worker(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to(STALLS_ONCE).await;
        let mut watcher = client.watch(&run, None).await;
        watcher.until("output.delta").await;
        stage.workers[0].signal("STOP");
        assert_eq!(client.cancel(&run).await.status, 202);
        stage.start_worker().await;
        let frames = watcher.rest().await;
        assert_sound(&parsed(&frames));
        assert_eq!(kinds(&parsed(&frames)).last().expect("events"), "run.cancelled");
        assert_eq!(client.result(&run).await["text"], answer(&parsed(&frames)).text);
        let rows = stage.database().rows_of(&run).await;

        stage.workers[0].signal("CONT");
        stage.workers[0]
            .log_with("beginning again as a new incarnation")
            .await;
        soon("no open call", stage.simulator.wait_for(|stats| stats.open == 0)).await;
        assert_eq!(stage.database().rows_of(&run).await, rows);
        assert_eq!(client.watch(&run, None).await.rest().await, frames);
        assert_eq!(stage.simulator.stats().requests, 1);
        stage.close().await;
    }
}

all_modes! {
    async fn who_sleeps_alone_takes_up_its_runs_again(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to(STALLS_ONCE).await;
        let mut watcher = client.watch(&run, None).await;
        watcher.until("output.delta").await;
        stage.executor().signal("STOP");
        // Nobody is there to tell that the lease has lapsed: it is only time that passes.
        tokio::time::sleep(2 * LEASE).await;
        stage.executor().signal("CONT");
        let events = parsed(&watcher.rest().await);
        assert_sound(&events);
        let starts: Vec<_> = events.iter().filter(|event| event["type"] == "attempt.started").collect();
        assert_eq!(starts.len(), 2);
        assert_eq!(starts[1]["data"]["void_after"], "0-1");
        assert_eq!(client.result(&run).await["text"], Stage::text(30));
        assert_eq!(stage.simulator.stats().requests, 2);
        stage.close().await;
    }
}
