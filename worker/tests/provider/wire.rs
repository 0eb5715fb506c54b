//! Where the bytes themselves matter: what exactly is sent, and answers no well-behaved server would write.

use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use worker::providers::{ErrorKind, Provider, SettingsError, Timeouts};

use crate::calling::{Outcome, PATIENT, call, call_with, provider, settings, soon};

/// The body of such a response lasts as long as the connection.
pub(crate) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";
const HELLO: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;
const STOP: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// Reads one request, head and body.
pub(crate) async fn read_request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        assert_ne!(
            socket.read_buf(&mut request).await.unwrap(),
            0,
            "the request must be whole: {text}"
        );
    }
}

/// A server that answers one request with these bytes and closes the connection. Gives the request.
pub(crate) async fn answer_with(response: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = read_request(&mut socket).await;
        socket.write_all(&response).await.unwrap();
        socket.shutdown().await.unwrap();
        request
    });
    (base_url, server)
}

pub(crate) fn plain(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn outcome_of(response: Vec<u8>, stream: bool, params: &Value) -> Outcome {
    let (base_url, server) = answer_with(response).await;
    let params: Map<String, Value> = params.as_object().unwrap().clone();
    let outcome = soon(call_with(&provider(base_url, PATIENT), "m", stream, &params)).await;
    soon(server).await.unwrap();
    outcome
}

/// What becomes of a stream of these bytes.
async fn streamed(body: &str, params: &Value) -> Outcome {
    outcome_of([STREAM_HEAD, body.as_bytes()].concat(), true, params).await
}

#[tokio::test]
async fn what_is_sent() {
    let body = format!("{HELLO}\n\n{STOP}\n\ndata: [DONE]\n\n");
    let (base_url, server) = answer_with([STREAM_HEAD, body.as_bytes()].concat()).await;
    let outcome = soon(call(&provider(base_url, PATIENT), "m", true)).await;
    assert_eq!(outcome.text, "hello");
    assert!(!outcome.complete().simulated());
    let request = soon(server).await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{head}"
    );
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "authorization: Bearer sk-test-0123456789",
        "content-type: application/json",
        "accept: text/event-stream",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        &format!("user-agent: mcpctl/{version}"),
    ] {
        assert!(
            head.lines().any(|sent| sent == line),
            "{line} is missing in {head}"
        );
    }
    let sent: Value = serde_json::from_str(body).unwrap();
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn without_a_key_no_key_is_sent() {
    let (base_url, server) = answer_with(plain("404 Not Found", "")).await;
    let keyless = Provider::new(worker::providers::ProviderSettings {
        api_keys: Vec::new(),
        ..settings(base_url, PATIENT)
    });
    soon(call(&keyless.unwrap(), "m", false)).await.failure();
    let request = soon(server).await.unwrap().to_ascii_lowercase();
    assert!(!request.contains("authorization:"), "{request}");
    assert!(!request.contains("openai-"), "{request}");
}

#[test]
fn the_variables_of_openais_own_sdk_are_not_for_others() {
    // In a process of its own, because variables belong to a process.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wire::without_a_key_no_key_is_sent"])
        .envs([("OPENAI_API_KEY", "sk-leak"), ("OPENAI_ORG_ID", "org-leak")])
        .envs([
            ("OPENAI_PROJECT_ID", "p-leak"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:1/leak"),
        ])
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn streams_that_end_in_every_way() {
    let none = json!({});
    let complete = [
        format!("\u{FEFF}: hi\r\n\r\n{HELLO}\r\n\r\nevent: message\r\n{STOP}\r\n\r\ndata: [DONE]\r\n\r\n"),
        // No [DONE]; no empty line at the end; nothing that ends the last line.
        format!("{HELLO}\n\n{STOP}\n\n"),
        format!("{HELLO}\n\n{STOP}\n\ndata: [DONE]"),
        format!("{HELLO}\n\n{STOP}"),
        // One event in two lines, and an empty one.
        format!(
            "data:\n\n{}\n\n{STOP}\n\n",
            HELLO.replace(",\"delta\"", ",\ndata: \"delta\"")
        ),
    ];
    for body in complete {
        let outcome = streamed(&body, &none).await;
        outcome.complete();
        assert_eq!(
            (outcome.text.as_str(), outcome.reasons.len()),
            ("hello", 1),
            "{body}"
        );
    }
    let broken = [
        (format!("{HELLO}\n\n"), ErrorKind::Interrupted),
        (format!("{HELLO}\n\ndata: [DONE]\n\n"), ErrorKind::Interrupted),
        (format!("{HELLO}\n\n{}", &STOP[..40]), ErrorKind::Interrupted),
        (format!("{HELLO}\n\n{}\n\n", &STOP[..40]), ErrorKind::Malformed),
        (String::new(), ErrorKind::Interrupted),
        ("data: [DONE]\n\n".to_owned(), ErrorKind::EmptyAnswer),
        (
            format!("{HELLO}\n\nevent: error\ndata: {{\"code\":429}}\n\n"),
            ErrorKind::RateLimited { retry_after: None },
        ),
        (
            format!("{HELLO}\n\nevent: error\ndata: gone\n\n"),
            ErrorKind::Interrupted,
        ),
        (
            format!("{HELLO}\n\ndata: {{\"error\":\"gone\"}}\n\n"),
            ErrorKind::Interrupted,
        ),
    ];
    for (body, kind) in broken {
        let outcome = streamed(&body, &none).await;
        assert_eq!(*outcome.failure().kind(), kind, "{body}");
    }
}

#[tokio::test]
async fn several_answers_are_complete_when_all_are() {
    let two = json!({"n": 2});
    let second = HELLO.replace("\"index\":0", "\"index\":1");
    let outcome = streamed(&format!("{HELLO}\n\n{STOP}\n\n"), &two).await;
    assert_eq!(*outcome.failure().kind(), ErrorKind::Interrupted);
    let outcome = streamed(
        &format!("{HELLO}\n\n{second}\n\n{STOP}\n\ndata: [DONE]\n\n"),
        &two,
    )
    .await;
    assert_eq!(*outcome.failure().kind(), ErrorKind::Interrupted);
    // Many providers ignore `n`; the end they declare is one.
    let outcome = streamed(&format!("{HELLO}\n\n{STOP}\n\ndata: [DONE]\n\n"), &two).await;
    assert_eq!(outcome.complete().usage(), None);
}

#[tokio::test]
async fn after_the_finish_only_the_usage_can_be_missed() {
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    // Cut: chunked, and not ended as it should be.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{HELLO}\n\n{STOP}\n\n{usage}\n\n");
    let cut = format!("{head}{:x}\r\n{chunk}\r\n", chunk.len());
    let outcome = outcome_of(cut.into_bytes(), true, &json!({})).await;
    outcome.complete();
    assert_eq!(outcome.usage.unwrap().output_tokens, 1);

    // Stalled: the connection stays open until the client leaves.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        socket.write_all(STREAM_HEAD).await.unwrap();
        socket
            .write_all(format!("{HELLO}\n\n{STOP}\n\n").as_bytes())
            .await
            .unwrap();
        socket.read_buf(&mut Vec::new()).await
    });
    let hasty = provider(
        base_url,
        Timeouts {
            between_tokens: Duration::from_millis(50),
            ..PATIENT
        },
    );
    let outcome = soon(call(&hasty, "m", true)).await;
    outcome.complete();
    assert_eq!((outcome.text.as_str(), &outcome.usage), ("hello", &None));
    let left = soon(server).await.unwrap();
    assert!(matches!(left, Ok(0) | Err(_)), "the client has left: {left:?}");
}

#[tokio::test]
async fn refusals_that_come_in_disguise() {
    let redirect = outcome_of(
        plain("302 Found\r\nlocation: http://127.0.0.1:1/", ""),
        true,
        &json!({}),
    )
    .await;
    assert_eq!(*redirect.failure().kind(), ErrorKind::Rejected { status: 302 });

    let json_head = "200 OK\r\ncontent-type: application/json";
    let quota = r#"{"error":{"message":"slow down","code":429}}"#;
    for stream in [true, false] {
        let outcome = outcome_of(plain(json_head, quota), stream, &json!({})).await;
        assert_eq!(
            *outcome.failure().kind(),
            ErrorKind::RateLimited { retry_after: None }
        );
    }
    let final_word = plain(
        "503 Service Unavailable\r\nx-should-retry: false\r\nx-request-id: req-9",
        "",
    );
    let outcome = outcome_of(final_word, true, &json!({})).await;
    assert!(!outcome.failure().retryable());
    assert!(outcome.failure().to_string().contains("req-9"));
}

fn plain_error(message: &str) -> Vec<u8> {
    plain(
        "400 Bad Request\r\ncontent-type: application/json",
        &json!({"error": {"message": message}}).to_string(),
    )
}

#[tokio::test]
async fn an_echoed_key_is_taken_out() {
    let outcome = outcome_of(plain_error("no sk-test-0123456789 here"), true, &json!({})).await;
    let error = outcome.failure();
    assert!(
        error.public_message().ends_with("no [redacted] here"),
        "{}",
        error.public_message()
    );
    assert!(!format!("{error} {error:?}").contains("0123456789"));
}

#[tokio::test]
async fn the_connection_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // One connection is accepted, and it must carry all three requests.
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("{HELLO}\n\n{STOP}\n\ndata: [DONE]\n\n");
        let body = format!("{:x}\r\n{chunk}\r\n", chunk.len());
        for _ in 0..2 {
            read_request(&mut socket).await;
            socket
                .write_all(format!("{head}{body}0\r\n\r\n").as_bytes())
                .await
                .unwrap();
        }
        read_request(&mut socket).await;
        socket
            .write_all(&plain("500 Internal Server Error", ""))
            .await
            .unwrap();
    });
    let provider = provider(base_url, PATIENT);
    for _ in 0..2 {
        soon(call(&provider, "m", true)).await.complete();
    }
    soon(call(&provider, "m", true)).await.failure();
    soon(server).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let urls = [
        "",
        "api.openai.com/v1",
        "ftp://x/v1",
        "https://u:p@x/v1",
        "https://x/v1?key=1",
        "https://x/v1#a",
    ];
    for url in urls {
        let error = Provider::new(settings(url, PATIENT)).unwrap_err();
        assert!(matches!(error, SettingsError::BaseUrl { .. }), "{url}: {error}");
        assert!(url.is_empty() || !error.to_string().contains(url), "{error}");
    }
    let mut bad_key = settings("http://x/v1", PATIENT);
    bad_key.api_keys = vec!["sk-secret\n".into()];
    let error = Provider::new(bad_key).unwrap_err().to_string();
    assert!(
        error.contains("ACME_API_KEY") && !error.contains("sk-secret"),
        "{error}"
    );
}
