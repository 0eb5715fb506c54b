//! Every fault as the client sees it, streamed and whole.

use std::{io::ErrorKind, time::Duration};

use serde_json::{Value, json};
use simulator::{Outcome, Simulator, expected_text};

use crate::support::{PROMPT, Reply, SEED, body, send, simulator, stream, whole};

async fn both(simulator: &Simulator, model: &str) -> [Reply; 2] {
    [stream(simulator, model).await, whole(simulator, model).await]
}

/// Reads the beginning of a body that will have no end, then leaves.
async fn begin_and_leave(simulator: &Simulator, model: &str, stream: bool, enough: impl Fn(&str) -> bool) {
    let mut response = send(simulator, &body(model, &json!({ "stream": stream })))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut seen = String::new();
    while !enough(&seen) {
        let bytes = response.chunk().await.unwrap().expect("the body must not end");
        seen.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(simulator.stats().open, 1);
    drop(response);
    simulator.wait_for(|stats| stats.open == 0).await;
}

#[tokio::test]
async fn statuses_are_openai_shaped_errors() {
    let simulator = simulator().await;
    for (status, kind, code) in [
        (400, "invalid_request_error", Value::Null),
        (401, "authentication_error", json!("invalid_api_key")),
        (403, "permission_error", Value::Null),
        (404, "invalid_request_error", json!("model_not_found")),
        (429, "rate_limit_error", json!("rate_limit_exceeded")),
        (500, "server_error", Value::Null),
        (503, "server_error", Value::Null),
    ] {
        for reply in both(&simulator, &format!("sim:fault={status}")).await {
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("content-type"), "application/json");
            assert!(!reply.headers.contains_key("retry-after"));
            let error = &reply.json()["error"];
            assert_eq!(
                (&error["type"], &error["code"], &error["param"]),
                (&json!(kind), &code, &Value::Null)
            );
            assert!(
                error["message"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("simulated {status}"))
            );
        }
    }
    assert_eq!(simulator.stats().faulted, 14);
}

#[tokio::test]
async fn retry_after_is_seconds_or_a_date() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim:fault=429,retry_after=2").await;
    assert_eq!(reply.header("retry-after"), "2");
    let reply = stream(&simulator, "sim:fault=503,retry_after=date:60").await;
    let [sent, retry] =
        ["date", "retry-after"].map(|name| httpdate::parse_http_date(reply.header(name)).unwrap());
    assert!(retry >= sent + Duration::from_secs(60));
}

#[tokio::test]
async fn html_instead_of_an_answer() {
    let simulator = simulator().await;
    for (fault, status) in [("html", 502), ("html200", 200)] {
        for reply in both(&simulator, &format!("sim:fault={fault}")).await {
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
            assert!(reply.body.starts_with(b"<!doctype html>"));
        }
    }
}

#[tokio::test]
async fn refuse_closes_without_a_response() {
    let simulator = simulator().await;
    let error = send(&simulator, &body("sim:fault=refuse", &json!({})))
        .await
        .unwrap_err();
    assert!(error.is_request() && !error.is_connect(), "{error:?}");
    assert_eq!(simulator.stats().faulted, 1);
    assert_eq!(simulator.stats().requests, 1);
}

#[tokio::test]
async fn stall_headers_sends_nothing_until_the_client_leaves() {
    let simulator = simulator().await;
    let body = body("sim:fault=stall_headers", &json!({ "stream": true }));
    let request = send(&simulator, &body);
    let leaves = simulator.wait_for(|stats| stats.open == 1);
    tokio::select! {
        response = request => panic!("there must be no response: {response:?}"),
        _ = leaves => {}
    }
    simulator
        .wait_for(|stats| stats.open == 0 && stats.dropped == 1)
        .await;
}

#[tokio::test]
async fn reset_is_a_tcp_reset_after_the_tokens() {
    let simulator = simulator().await;
    for after in [0, 3, 99] {
        let reply = stream(&simulator, &format!("sim:fault=reset,after={after}")).await;
        assert_eq!(reply.io_error(), Some(ErrorKind::ConnectionReset));
        assert_eq!(reply.text(), expected_text(SEED, PROMPT, after.min(10)));
        assert!(reply.finish_reasons().is_empty());
    }
    let reply = whole(&simulator, "sim:fault=reset").await;
    assert_eq!(reply.io_error(), Some(ErrorKind::ConnectionReset));
    assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
    assert_eq!(simulator.stats().faulted, 4);
}

#[tokio::test]
async fn cut_ends_the_body_cleanly() {
    let simulator = simulator().await;
    for after in [0, 3, 99] {
        let reply = stream(&simulator, &format!("sim:fault=cut,after={after}")).await;
        assert!(reply.error.is_none());
        assert_eq!(reply.text(), expected_text(SEED, PROMPT, after.min(10)));
        assert!(reply.finish_reasons().is_empty() && reply.usages().is_empty() && !reply.is_done());
    }
    let reply = whole(&simulator, "sim:fault=cut").await;
    assert!(reply.error.is_none() && !reply.body.is_empty());
    assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
    simulator.wait_for(|stats| stats.faulted == 4).await;
}

#[tokio::test]
async fn cut_dirty_ends_the_body_with_an_error() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim:fault=cut_dirty,after=3").await;
    assert!(reply.error.is_some());
    assert_ne!(reply.io_error(), Some(ErrorKind::ConnectionReset));
    assert_eq!(reply.text(), expected_text(SEED, PROMPT, 3));
    let reply = whole(&simulator, "sim:fault=cut_dirty").await;
    assert!(reply.error.is_some() && !reply.body.is_empty());
    assert_ne!(reply.io_error(), Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn stall_keeps_the_connection_open() {
    let simulator = simulator().await;
    begin_and_leave(&simulator, "sim:fault=stall", true, |_| true).await;
    assert_eq!(simulator.stats().tokens, 0);
    let third = expected_text(SEED, PROMPT, 3)
        .split(' ')
        .next_back()
        .unwrap()
        .to_owned();
    begin_and_leave(&simulator, "sim:fault=stall,after=3", true, |seen| {
        seen.contains(&third)
    })
    .await;
    assert_eq!(simulator.stats().tokens, 3);
    begin_and_leave(&simulator, "sim:fault=stall", false, |seen| {
        seen.starts_with("{\"id\":\"chatcmpl-sim-3\"")
    })
    .await;
    assert_eq!(simulator.stats().dropped, 3);
}

#[tokio::test]
async fn malformed_is_one_bad_chunk_among_good_ones() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim:fault=malformed,after=4").await;
    assert!(reply.error.is_none() && reply.is_done());
    let bad: Vec<usize> = (0..)
        .zip(reply.events())
        .filter(|(_, data)| *data != "[DONE]" && serde_json::from_str::<Value>(data).is_err())
        .map(|(index, _)| index)
        .collect();
    assert_eq!(bad, [1 + 4], "after the role and four tokens");
    assert_eq!(reply.events().len(), 1 + 4 + 1 + 6 + 3);

    let reply = whole(&simulator, "sim:fault=malformed").await;
    assert!(reply.error.is_none());
    assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
}

#[tokio::test]
async fn bad_utf8_is_one_bad_chunk_among_good_ones() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim:fault=bad_utf8,after=4").await;
    assert!(reply.error.is_none() && reply.is_done());
    assert!(std::str::from_utf8(&reply.body).is_err());
    let repaired = Reply {
        body: String::from_utf8_lossy(&reply.body).into_owned().into_bytes(),
        ..reply
    };
    assert_eq!(
        repaired.chunks()[5]["choices"][0]["delta"]["content"],
        "\u{fffd}\u{fffd}"
    );
    assert_eq!(
        repaired.text().replace('\u{fffd}', ""),
        expected_text(SEED, PROMPT, 10)
    );

    let reply = whole(&simulator, "sim:fault=bad_utf8").await;
    assert!(std::str::from_utf8(&reply.body).is_err());
}

#[tokio::test]
async fn a_giant_line_is_one_line() {
    let simulator = simulator().await;
    let size = 3_000_000;
    let reply = stream(&simulator, &format!("sim:fault=giant_line,after=2,size={size}")).await;
    let lengths: Vec<usize> = reply
        .events()
        .iter()
        .map(|data| data.len() + "data: \n\n".len())
        .collect();
    assert_eq!(lengths[3], size);
    assert!(
        lengths
            .iter()
            .enumerate()
            .all(|(index, length)| index == 3 || *length < 1000)
    );
    assert_eq!(
        reply.text().replace('x', "").len(),
        expected_text(SEED, PROMPT, 10).replace('x', "").len()
    );
    assert!(reply.is_done());

    let answer = whole(&simulator, &format!("sim:fault=giant_line,size={size}"))
        .await
        .json();
    assert_eq!(
        answer["choices"][0]["message"]["content"].as_str().unwrap().len(),
        size
    );
}

#[tokio::test]
async fn an_error_event_ends_the_stream() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim:fault=error_event,after=2").await;
    assert!(reply.error.is_none() && !reply.is_done());
    let chunks = reply.chunks();
    assert_eq!(chunks.len(), 1 + 2 + 1);
    assert_eq!(chunks[3]["error"]["type"], "server_error");
    assert!(reply.finish_reasons().is_empty());

    let reply = whole(&simulator, "sim:fault=error_event").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["error"]["type"], "server_error");
}

#[tokio::test]
async fn empty_is_an_answer_without_content() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim:fault=empty").await;
    assert_eq!((reply.text().as_str(), reply.is_done()), ("", true));
    assert_eq!(reply.finish_reasons(), ["stop"]);
    assert_eq!(reply.usages()[0]["completion_tokens"], 0);
    let answer = whole(&simulator, "sim:fault=empty").await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn usage_can_be_missing_or_sent_twice() {
    let simulator = simulator().await;
    let [streamed, answer] = both(&simulator, "sim:fault=no_usage").await;
    assert!(streamed.usages().is_empty() && streamed.is_done());
    assert!(answer.json().get("usage").is_none());

    let [streamed, answer] = both(&simulator, "sim:fault=duplicate_usage").await;
    let usages = streamed.usages();
    assert_eq!(usages.len(), 2);
    assert_eq!(usages[0], usages[1]);
    assert!(streamed.is_done());
    assert_eq!(answer.json()["usage"], usages[0]);
}

#[tokio::test]
async fn no_finish_is_done_without_a_reason() {
    let simulator = simulator().await;
    let [streamed, answer] = both(&simulator, "sim:fault=no_finish").await;
    assert!(streamed.is_done() && streamed.finish_reasons().is_empty());
    assert_eq!(streamed.text(), expected_text(SEED, PROMPT, 10));
    assert_eq!(answer.json()["choices"][0]["finish_reason"], Value::Null);
}

#[tokio::test]
async fn wrong_type_is_only_the_label() {
    let simulator = simulator().await;
    let [streamed, answer] = both(&simulator, "sim:fault=wrong_type").await;
    assert_eq!(streamed.header("content-type"), "application/json");
    assert_eq!(streamed.text(), expected_text(SEED, PROMPT, 10));
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.json()["object"], "chat.completion");
}

#[tokio::test]
async fn skip_lets_some_requests_go_before_the_fault() {
    let simulator = simulator().await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let reply = stream(&simulator, "sim:fault=500,skip=2,times=2").await;
        statuses.push(reply.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 500, 500, 200]);
}

#[tokio::test]
async fn times_lets_a_fault_happen_so_often_by_key() {
    let simulator = simulator().await;
    let model = "sim:fault=500,times=2";
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(stream(&simulator, model).await.status.as_u16());
    }
    assert_eq!(statuses, [500, 500, 200, 200]);
    assert_eq!(
        stream(&simulator, "sim:fault=500,times=2,tokens=9").await.status,
        500,
        "another name, another key"
    );

    for (model, status) in [
        ("sim:fault=500,times=1,key=a", 500),
        ("sim:fault=503,times=1,key=b", 503),
        ("sim:fault=cut,times=1,key=a", 200),
    ] {
        let reply = stream(&simulator, model).await;
        assert_eq!(
            (reply.status.as_u16(), reply.is_done()),
            (status, status == 200),
            "{model}"
        );
    }
    let outcomes: Vec<Option<Outcome>> = simulator.requests().iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes[1..3], [Some(Outcome::Faulted), Some(Outcome::Completed)]);
}
