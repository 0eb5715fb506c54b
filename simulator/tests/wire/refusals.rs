//! Requests that a provider refuses: they name what is wrong and never get an answer.

use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use simulator::Simulator;

use crate::support::{PROMPT, Reply, body, client, send, simulator};

async fn refused(simulator: &Simulator, body: &Value) -> (StatusCode, Value) {
    let reply = Reply::read(send(simulator, body).await.unwrap()).await;
    (reply.status, reply.json()["error"].take())
}

#[tokio::test]
async fn an_unknown_option_is_named() {
    let simulator = simulator().await;
    let (status, error) = refused(&simulator, &body("sim:colour=red", &json!({}))).await;
    assert_eq!(status, 400);
    assert_eq!(
        (&error["type"], &error["param"]),
        (&json!("invalid_request_error"), &json!("model"))
    );
    assert!(error["message"].as_str().unwrap().contains("\"colour\""));

    let response = client()
        .post(format!("{}/chat/completions", simulator.base_url()))
        .header("x-simulator", "fault=banana")
        .json(&body("sim", &json!({})))
        .send()
        .await
        .unwrap();
    let reply = Reply::read(response).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["param"], "x-simulator");
    assert_eq!(simulator.stats().refused, 2);
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let simulator = simulator().await;
    let (status, error) = refused(&simulator, &body("gpt-x", &json!({}))).await;
    assert_eq!(status, 404);
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("model_not_found"), &json!("model"))
    );
}

#[tokio::test]
async fn bad_fields_are_named() {
    let simulator = simulator().await;
    for (field, value, param) in [
        ("messages", json!([]), "messages"),
        ("messages", json!([{ "role": 5 }]), "messages[0].role"),
        ("max_tokens", json!(0), "max_tokens"),
        ("max_tokens", json!(-1), "max_tokens"),
        ("max_completion_tokens", json!(0), "max_completion_tokens"),
        ("n", json!(2), "n"),
        ("stream", json!("yes"), "stream"),
    ] {
        let (status, error) = refused(&simulator, &body("sim", &json!({ field: value }))).await;
        assert_eq!(
            (status.as_u16(), &error["param"]),
            (400, &json!(param)),
            "{error}"
        );
    }
    let (status, error) = refused(
        &simulator,
        &json!({ "messages": [{ "role": "user", "content": PROMPT }] }),
    )
    .await;
    assert_eq!(status, 400);
    assert!(error["message"].as_str().unwrap().contains("model"));
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let simulator = simulator().await;
    let good = body("sim", &json!({})).to_string();
    for text in ["", "{", "[]", &format!("{good}{good}")] {
        let request = client().post(format!("{}/chat/completions", simulator.base_url()));
        let response = request
            .header(CONTENT_TYPE, "application/json")
            .body(text.to_owned())
            .send()
            .await
            .unwrap();
        let reply = Reply::read(response).await;
        assert_eq!(reply.status, 400, "{text}");
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
    let stats = simulator.stats();
    assert_eq!((stats.requests, stats.refused), (4, 4));
}

#[tokio::test]
async fn other_paths_and_methods_are_errors_of_the_same_shape() {
    let simulator = simulator().await;
    let response = client()
        .get(format!("{}/nothing", simulator.base_url()))
        .send()
        .await
        .unwrap();
    let reply = Reply::read(response).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"]["code"], "unknown_url");
    let response = client()
        .get(format!("{}/chat/completions", simulator.base_url()))
        .send()
        .await
        .unwrap();
    let reply = Reply::read(response).await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.json()["error"]["code"], "method_not_supported");
}
