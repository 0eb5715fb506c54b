//! A crash between COMMIT and the hint to the queue: the client was told nothing, and the run is in the ledger all the
//! same. Needs the feature `failpoints`.
#![cfg(feature = "failpoints")]

use reqwest::Method;
use serde_json::json;

use crate::stage::client::{PROMPT, assert_sound};
use crate::stage::{Client, Mode, Stage, all_modes};

all_modes! {
    async fn a_run_that_was_committed_and_not_answered_runs_once(mode: Mode) {
        let mut stage = Stage::empty(mode, &[]).await;
        let crashing = stage.api_command(&[("FAILPOINTS", "api::accepted=return")]).start();
        let client = stage.add_api(crashing).await;
        submit(&client).await.expect_err("nobody is left to answer");
        let status = stage.apis[0].ended().await;
        assert!(!status.success(), "{status}");

        let client = stage.start_api().await;
        if mode.is_cluster() {
            stage.start_worker().await;
        }
        let listed = client.get("/mcp/v1/requests").await.body;
        let runs = listed["requests"].as_array().unwrap_or_else(|| panic!("{listed}"));
        assert_eq!(runs.len(), 1, "{listed}");
        let run = runs[0]["request_id"].as_str().expect("an id");
        assert_eq!(client.result(run).await["text"], Stage::text(20));
        assert_sound(&client.history(run).await);

        let again = submit(&client).await.expect("an answer");
        assert_eq!(again.status, 202, "{}", again.body);
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.body["request_id"], run);
        assert_eq!(again.body["status"], "succeeded");
        assert_eq!(stage.simulator.stats().requests, 1);
        stage.close().await;
    }
}

async fn submit(client: &Client) -> Result<crate::stage::client::Reply, reqwest::Error> {
    let request = client
        .request(Method::POST, "/mcp/v1/request")
        .header("idempotency-key", "once")
        .json(&json!({"prompt": PROMPT, "model": "sim:tokens=20"}));
    client.try_send(request).await
}
