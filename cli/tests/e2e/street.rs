//! The main street: submit, stream, result; watchers that come and go.

use serde_json::{Value, json};

use crate::stage::client::{answer, assert_sound, kinds, parsed};
use crate::stage::{Mode, Stage, all_modes, cluster_modes, soon};

all_modes! {
    async fn a_prompt_is_answered_streamed_and_kept(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit(&json!({"prompt": "Hello", "model": "sim:tokens=20,pace=5ms", "user_id": "u1"})).await;
        let frames = client.watch(&run, None).await.rest().await;
        let events = parsed(&frames);
        assert_sound(&events);
        assert_eq!(kinds(&events)[..3], ["run.queued", "attempt.started", "route.selected"]);
        assert_eq!(kinds(&events).last().unwrap(), "run.succeeded");

        // The live view, a later replay and the JSON pages are the same, byte for byte.
        assert_eq!(client.watch(&run, None).await.rest().await, frames);
        let history: Vec<String> = client.history(&run).await.iter().map(Value::to_string).collect();
        assert_eq!(history, parsed(&frames).iter().map(Value::to_string).collect::<Vec<_>>());

        let result = client.result(&run).await;
        assert_eq!(result["status"], "succeeded");
        assert_eq!(result["simulated"], true);
        assert_eq!(result["text"], answer(&events).text);
        assert_eq!(result["text"], simulator::expected_text(simulator::SimulatorConfig::default().seed, "Hello", 20));
        assert_eq!(result["finish_reason"], "stop");
        assert_eq!(result["usage"]["completion_tokens"], 20);
        assert_eq!(result["cost_usd"], Value::Null);
        assert!(events.iter().all(|event| event["data"]["simulated"] == true));
        stage.close().await;
    }

    async fn two_watchers_that_join_at_different_moments_see_the_same(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to("sim:tokens=40,pace=10ms").await;
        let mut first = client.watch(&run, None).await;
        first.until("output.delta").await;
        first.until("output.delta").await;
        let second = client.watch(&run, None).await;
        let after = first.last().unwrap();
        let third = client.watch(&run, Some(&after)).await;
        let before = first.seen().len();
        let (first, second, third) = soon("three watchers", async { tokio::join!(first.rest(), second.rest(), third.rest()) }).await;
        assert_eq!(first, second);
        assert_eq!(first[before..], third[..]);
        stage.close().await;
    }
}

cluster_modes! {
    async fn a_watcher_goes_on_at_another_api_after_the_first_was_killed(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let second = stage.start_api().await;
        let first = stage.client_of(0);
        let run = first.submit_to("sim:tokens=60,pace=20ms").await;
        let mut watcher = first.watch(&run, None).await;
        watcher.until("output.delta").await;
        stage.apis[0].kill().await;
        let mut seen = loop {
            if watcher.next().await == crate::stage::Frame::Broken {
                break watcher.seen().to_vec();
            }
        };
        let after = parsed(&seen).last().unwrap()["cursor"]
            .as_str()
            .unwrap()
            .to_owned();
        seen.extend(second.watch(&run, Some(&after)).await.rest().await);
        assert_eq!(seen, second.watch(&run, None).await.rest().await);
        assert_sound(&parsed(&seen));
        assert_eq!(second.result(&run).await["text"], answer(&parsed(&seen)).text);
        stage.close().await;
    }
}
