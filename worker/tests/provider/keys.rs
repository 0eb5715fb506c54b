//! Keys that take turns, headers that are asked for, and what a response says of the limits, over real sockets.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use shared::catalog::Quirks;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use worker::providers::{Allowance, ErrorKind, KeyIndex, Provider, ProviderSettings, SettingsError};

use crate::calling::{PATIENT, call, settings, soon};
use crate::wire::{answer_with, plain, read_request};

fn with_keys(base_url: String, keys: &[&str]) -> Provider {
    let api_keys: Vec<SecretString> = keys.iter().map(|key| (*key).into()).collect();
    Provider::new(ProviderSettings {
        api_keys,
        ..settings(base_url, PATIENT)
    })
    .unwrap()
}

/// A server that knows one key. Answers so many calls and gives the keys it saw.
async fn server_knowing(known: &'static str, calls: usize) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..calls {
            let (mut socket, _) = listener.accept().await.unwrap();
            let request = read_request(&mut socket).await;
            let key = request
                .lines()
                .find_map(|line| line.strip_prefix("authorization: Bearer "));
            let key = key.unwrap().to_owned();
            let answer = json!({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]});
            let response = if key == known {
                plain("200 OK\r\nconnection: close", &answer.to_string())
            } else {
                plain("401 Unauthorized\r\nconnection: close", "")
            };
            seen.push(key);
            socket.write_all(&response).await.unwrap();
            socket.shutdown().await.unwrap();
        }
        seen
    });
    (base_url, server)
}

#[tokio::test]
async fn a_refused_key_loses_its_turn() {
    let (base_url, server) = server_knowing("key-b", 4).await;
    let provider = with_keys(base_url, &["key-a", "key-b"]);
    let places: Vec<usize> = provider.keys().map(KeyIndex::position).collect();
    assert_eq!(places, [0, 1]);
    let refused = soon(call(&provider, "m", false)).await;
    let error = refused.failure();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized { status: 401 });
    assert!(error.retryable(), "another key is left");
    assert_eq!(error.key().unwrap().position(), 0);
    for _ in 0..3 {
        let answered = soon(call(&provider, "m", false)).await;
        assert_eq!(answered.complete().key().position(), 1);
    }
    let seen = soon(server).await.unwrap();
    assert_eq!(seen, ["key-a", "key-b", "key-b", "key-b"]);
}

#[tokio::test]
async fn limits_are_read_from_answers_and_refusals() {
    let limits = "x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 0\r\n\
        x-ratelimit-reset-requests: 1.5s\r\nx-ratelimit-remaining-tokens: 149984";
    let answer = json!({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}).to_string();
    for (status, body) in [("200 OK", &*answer), ("429 Too Many Requests", "")] {
        let (base_url, server) = answer_with(plain(&format!("{status}\r\n{limits}"), body)).await;
        let outcome = soon(call(&with_keys(base_url, &["k"]), "m", false)).await;
        soon(server).await.unwrap();
        let headroom = match &outcome.error {
            Some(error) => error.headroom(),
            None => outcome.complete().headroom(),
        };
        let requests = Allowance {
            limit: Some(60),
            remaining: Some(0),
            reset: Some(Duration::from_millis(1500)),
        };
        assert_eq!(headroom.requests, requests, "{status}");
        assert_eq!(headroom.tokens.remaining, Some(149_984), "{status}");
    }
}

#[tokio::test]
async fn a_servers_own_path_query_and_headers() {
    let (base_url, server) = answer_with(plain("404 Not Found", "")).await;
    let provider = Provider::new(ProviderSettings {
        query: vec![("version".to_owned(), "2 b".to_owned())],
        quirks: Quirks {
            chat_path: Some("/text/chat".to_owned()),
            headers: [("X-Title".to_owned(), "a title".to_owned())].into(),
            ..Quirks::default()
        },
        ..settings(base_url, PATIENT)
    });
    soon(call(&provider.unwrap(), "m", true)).await.failure();
    let request = soon(server).await.unwrap();
    assert!(
        request.starts_with("POST /v1/text/chat?version=2+b HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nx-title: a title\r\n"), "{request}");
}

#[test]
fn headers_that_cannot_be_sent_are_refused() {
    for (name, value) in [("a b", "c"), ("x-secret", "a\nb")] {
        let error = Provider::new(ProviderSettings {
            quirks: Quirks {
                headers: [(name.to_owned(), value.to_owned())].into(),
                ..Quirks::default()
            },
            ..settings("http://x/v1", PATIENT)
        })
        .unwrap_err();
        assert!(
            matches!(&error, SettingsError::Header { header, .. } if header == name),
            "{error}"
        );
        assert!(!error.to_string().contains("a\nb"), "{error}");
    }
}
