//! Runs page by page, and by what they are.

use std::collections::BTreeSet;

use serde_json::json;

use crate::house::{Answer, House};

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let requests = answer.body["requests"].as_array().unwrap();
    requests
        .iter()
        .map(|run| run["request_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_hold_every_run_once_newest_first() {
    let house = House::open().await;
    let mut submitted = Vec::new();
    for _ in 0..7 {
        submitted.push(
            house
                .submit(&json!({ "prompt": "Hello" }))
                .await
                .accepted()
                .to_string(),
        );
    }
    submitted.reverse();
    let (mut seen, mut path) = (Vec::new(), "/mcp/v1/requests?limit=3".to_owned());
    let pages = loop {
        let page = house.get(&path).await;
        seen.push(ids(&page));
        // What comes in meanwhile is newer, and moves nothing.
        house.submit(&json!({ "prompt": "Later" })).await.accepted();
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/mcp/v1/requests?limit=3&cursor={cursor}"),
            None => break seen,
        }
    };
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(pages.concat(), submitted);
    house.close().await;
}

#[tokio::test]
async fn filters_hold_together() {
    let house = House::open().await;
    let submit = async |body: serde_json::Value| house.submit(&body).await.accepted();
    let urgent =
        submit(json!({ "prompt": "1", "priority": 90, "task_type": "code", "user_id": "ada" })).await;
    let slow = submit(json!({ "prompt": "2", "priority": 10, "user_id": "ada" })).await;
    let other = submit(json!({ "prompt": "3", "priority": 90, "user_id": "eve" })).await;
    house.stage.start(slow).await.succeed("done").await;
    let list = async |query: &str| -> BTreeSet<String> {
        ids(&house.get(&format!("/mcp/v1/requests?{query}")).await)
            .into_iter()
            .collect()
    };
    let set = |runs: &[&shared::domain::RunId]| runs.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(list("").await, set(&[&urgent, &slow, &other]));
    assert_eq!(list("status=succeeded").await, set(&[&slow]));
    assert_eq!(list("status=queued").await, set(&[&urgent, &other]));
    assert_eq!(list("class=interactive").await, set(&[&urgent, &other]));
    assert_eq!(list("task_type=code").await, set(&[&urgent]));
    assert_eq!(list("user_id=ada").await, set(&[&urgent, &slow]));
    assert_eq!(list("user_id=ada&class=interactive").await, set(&[&urgent]));
    assert_eq!(list("user_id=nobody").await, set(&[]));
    house.close().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_so() {
    let house = House::open().await;
    for (query, code, field) in [
        ("status=done", "invalid_query", Some("status")),
        ("class=urgent", "invalid_query", Some("class")),
        ("limit=0", "invalid_query", Some("limit")),
        ("limit=201", "invalid_query", Some("limit")),
        ("limit=-1", "invalid_query", None),
        ("limit=many", "invalid_query", None),
        ("limit=99999999999999999999", "invalid_query", None),
        ("all_tenants=perhaps", "invalid_query", None),
        ("all_tenants=true&user_id=ada", "invalid_query", Some("user_id")),
        ("task_type=%00", "invalid_query", Some("task_type")),
        ("cursor=5", "invalid_cursor", Some("cursor")),
        ("cursor=", "invalid_cursor", Some("cursor")),
        ("statsu=queued", "invalid_query", None),
        ("status=queued&status=running", "invalid_query", None),
    ] {
        let answer = house.get(&format!("/mcp/v1/requests?{query}")).await;
        assert_eq!(answer.problem(), (400, code, field), "{query}");
    }
    house.close().await;
}
