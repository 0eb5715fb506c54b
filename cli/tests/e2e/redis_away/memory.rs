//! What a queued run costs in Redis, and that all of it is given back.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::stage::redis::Redis;
use crate::stage::{Database, Namespace, Stage, soon};

const RUNS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_queue_leaves_nothing_behind() {
    let redis = Redis::start().await;
    let namespace = Namespace::on(redis.url());
    let settings = [("RUST_LOG", "warn,worker::incarnation=info,mcpctl=info")];
    let mut stage = Stage::on(Database::create().await, Some(namespace), &settings).await;
    let client = stage.start_api().await;
    let before = redis.memory().await;
    let priorities = [10, 50, 90];
    let submits = stream::iter(0..RUNS).map(|number| {
        let body = json!({"prompt": "x", "model": "sim-fast:tokens=1", "priority": priorities[number % 3]});
        let client = client.clone();
        async move { client.submit(&body).await }
    });
    let accepted: Vec<String> = submits.buffer_unordered(64).collect().await;
    assert_eq!(accepted.len(), RUNS);
    let queued = redis.memory().await;
    assert!(
        !stage.namespace().keys().await.is_empty(),
        "the queue is in Redis"
    );
    let each = queued.saturating_sub(before) / RUNS as u64;
    println!("{each} bytes of Redis for each of {RUNS} queued runs");

    stage.start_worker().await;
    soon("the end of all runs", async {
        let ended = "SELECT count(*) FROM mcp_request WHERE status = 'succeeded'";
        while stage.database().number(ended).await != RUNS as i64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    stage.namespace().faded().await;
    let after = redis.memory().await;
    println!(
        "{} bytes more than before, with a worker",
        after.saturating_sub(before)
    );
    stage.close().await;
}
