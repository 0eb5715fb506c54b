//! The Azure dialect over a real socket. The answers have the form of those in Microsoft's documentation ("Content
//! streaming", "Content filtering"), annotations of the asynchronous filter included.

use serde_json::{Value, json};
use shared::catalog::{Auth, Dialect};
use worker::providers::{ChatPiece, ErrorKind, Provider, ProviderSettings};

use crate::calling::{Outcome, PATIENT, call, settings, soon};
use crate::wire::{STREAM_HEAD, answer_with, plain};

const STREAM: &str = r#"data: {"id":"","object":"","created":0,"model":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false}}}],"choices":[],"usage":null}

data: {"id":"chatcmpl-7rC","object":"chat.completion.chunk","created":1692913344,"model":"gpt-35-turbo","choices":[{"index":0,"finish_reason":null,"delta":{"role":"assistant"}}],"usage":null}

data: {"id":"chatcmpl-7rC","object":"chat.completion.chunk","created":1692913344,"model":"gpt-35-turbo","choices":[{"index":0,"finish_reason":null,"delta":{"content":"Color"}}],"usage":null}

data: {"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"content_filter_offsets":{"check_offset":44,"start_offset":44,"end_offset":198}}],"usage":null}

data: {"id":"chatcmpl-7rC","object":"chat.completion.chunk","created":1692913344,"model":"gpt-35-turbo","choices":[{"index":0,"finish_reason":"stop","delta":{}}],"usage":null}

data: {"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"content_filter_offsets":{"check_offset":506,"start_offset":44,"end_offset":571}}],"usage":null}

data: {"id":"chatcmpl-7rC","object":"chat.completion.chunk","created":1692913344,"model":"gpt-35-turbo","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":1,"total_tokens":12}}

data: [DONE]

"#;

fn azure(base_url: String) -> Provider {
    Provider::new(ProviderSettings {
        dialect: Dialect::Azure,
        auth: Auth::Header("api-key".to_owned()),
        ..settings(base_url, PATIENT)
    })
    .unwrap()
}

/// What becomes of a call that is answered with these bytes, and the request it sent.
async fn answered(response: Vec<u8>, stream: bool) -> (Outcome, String) {
    let (base_url, server) = answer_with(response).await;
    let outcome = soon(call(&azure(base_url), "my-gpt", stream)).await;
    (outcome, soon(server).await.unwrap())
}

/// The fields beside each delta.
fn beside(outcome: &Outcome, field: &str) -> Vec<Value> {
    let of_piece = |piece: &ChatPiece| match piece {
        ChatPiece::Delta { beside, .. } => beside.get(field).cloned(),
        _ => None,
    };
    outcome.pieces.iter().filter_map(of_piece).collect()
}

#[tokio::test]
async fn a_stream_with_the_filters_annotations() {
    let (outcome, request) = answered([STREAM_HEAD, STREAM.as_bytes()].concat(), true).await;
    let stream = outcome.complete();
    assert_eq!(
        (outcome.text.as_str(), &*outcome.reasons),
        ("Color", &["stop".to_owned()][..])
    );
    assert_eq!(outcome.usage.as_ref().unwrap().input_tokens, 11);
    let offsets = beside(&outcome, "content_filter_offsets");
    assert_eq!(
        offsets
            .iter()
            .map(|at| at["check_offset"].as_u64())
            .collect::<Vec<_>>(),
        [Some(44), Some(506)],
        "also what comes after the finish"
    );
    let said = serde_json::to_value(stream.metadata()).unwrap();
    assert_eq!(said["prompt_filter_results"][0]["prompt_index"], 0);
    assert_eq!(
        (&said["id"], &said["model"], &said["created"]),
        (
            &json!("chatcmpl-7rC"),
            &json!("gpt-35-turbo"),
            &json!(1_692_913_344)
        )
    );

    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with(
            "POST /v1/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n"
        ),
        "{head}"
    );
    assert!(
        head.lines().any(|line| line == "api-key: sk-test-0123456789"),
        "{head}"
    );
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn a_whole_answer_keeps_its_verdicts() {
    let body = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": false}}}],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop",
            "content_filter_results": {"violence": {"filtered": false, "severity": "low"}}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}});
    let (outcome, _) = answered(
        plain("200 OK\r\ncontent-type: application/json", &body.to_string()),
        false,
    )
    .await;
    outcome.complete();
    assert_eq!(outcome.text, "Paris");
    assert_eq!(
        beside(&outcome, "content_filter_results"),
        [json!({"violence": {"filtered": false, "severity": "low"}})]
    );
}

#[tokio::test]
async fn refusals_in_azures_words() {
    let filtered = json!({"error": {"message": "The response was filtered.", "type": null, "param": "prompt",
        "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"hate": {"filtered": false, "severity": "safe"},
            "violence": {"filtered": true, "severity": "high"}}}}});
    let head = "400 Bad Request\r\ncontent-type: application/json\r\napim-request-id: req-7";
    let (outcome, _) = answered(plain(head, &filtered.to_string()), true).await;
    let error = outcome.failure();
    assert_eq!(*error.kind(), ErrorKind::Rejected { status: 400 });
    assert!(
        error
            .public_message()
            .ends_with("The response was filtered. (filtered for violence (high))"),
        "{}",
        error.public_message()
    );
    assert!(error.to_string().contains("req-7"), "{error}");

    let missing =
        json!({"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}});
    let head = "404 Resource Not Found\r\ncontent-type: application/json";
    let (outcome, _) = answered(plain(head, &missing.to_string()), true).await;
    let message = outcome.failure().public_message();
    assert!(
        message.ends_with("The API deployment does not exist."),
        "{message}"
    );

    // Blocked in mid-stream: an error in place of a chunk.
    let body = format!("{}\n\ndata: {filtered}\n\n", STREAM.split("\n\n").nth(2).unwrap());
    let (outcome, _) = answered([STREAM_HEAD, body.as_bytes()].concat(), true).await;
    assert_eq!(*outcome.failure().kind(), ErrorKind::Rejected { status: 400 });
}
