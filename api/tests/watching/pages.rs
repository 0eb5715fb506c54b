//! A run's log in pages of JSON.

use serde_json::Value;

use crate::server::{EventSource, Server};
use crate::stage::Stage;

#[tokio::test]
async fn pages_add_up_to_the_log() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let path = format!("/mcp/v1/request/{run}/events");
    let mut attempt = stage.start(run).await;
    attempt.say(&["a", "b", "c"]).await;

    let page = server.json(&format!("{path}?limit=2")).await;
    assert_eq!(
        (page["next"].as_str(), page["terminal"].as_bool()),
        (Some("1-1"), Some(false))
    );
    let mut collected = page["events"].as_array().unwrap().clone();
    let page = server.json(&format!("{path}?after=1-1")).await;
    assert_eq!(
        (page["next"].as_str(), page["terminal"].as_bool()),
        (Some("1-4"), Some(false))
    );
    collected.extend(page["events"].as_array().unwrap().clone());
    // Nothing new yet: the same place again.
    let page = server.json(&format!("{path}?after=1-4")).await;
    assert_eq!(
        page,
        serde_json::json!({"events": [], "next": "1-4", "terminal": false})
    );

    attempt.succeed("abc").await;
    let page = server.json(&format!("{path}?after=1-4")).await;
    assert_eq!(
        (page["next"].as_str(), page["terminal"].as_bool()),
        (None, Some(true))
    );
    collected.extend(page["events"].as_array().unwrap().clone());
    let page = server.json(&format!("{path}?after=1-5")).await;
    assert_eq!(
        page,
        serde_json::json!({"events": [], "next": null, "terminal": true})
    );

    let streamed = EventSource::of(server.get(&path, &[]).await).rest().await;
    let streamed: Vec<Value> = streamed
        .iter()
        .map(|entry| serde_json::from_str(entry).unwrap())
        .collect();
    assert_eq!(collected, streamed);
    server.stop().await;
}

#[tokio::test]
async fn the_form_follows_what_is_accepted() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let path = format!("/mcp/v1/request/{run}/events");
    for (accept, query, expected) in [
        ("*/*", "", "text/event-stream"),
        ("application/json, text/plain, */*", "", "application/json"),
        ("text/event-stream", "?limit=5", "text/event-stream"),
        ("*/*", "?limit=5", "application/json"),
    ] {
        let response = server.get(&format!("{path}{query}"), &[("accept", accept)]).await;
        assert_eq!(response.headers()["content-type"], expected, "{accept} {query}");
    }
    for limit in ["0", "1001", "-1", "many"] {
        let refusal = server.refusal(&format!("{path}?limit={limit}"), &[]).await;
        assert_eq!(refusal, (400, "invalid_query".to_owned()), "{limit}");
    }
    server.stop().await;
}
