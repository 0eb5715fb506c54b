//! Bad input against the real process: a clear refusal each, nothing half-written, and the process goes on. What a
//! well-behaved HTTP library will not send is written to the socket by hand.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::client::Reply;
use crate::stage::{Client, Frame, Mode, Stage, all_modes, soon};

const SUBMIT: &str = "/mcp/v1/request";
const MAX_BODY: usize = 64 * 1024;

/// What tells problems apart: status, code, field.
type Told<'a> = (u16, &'a str, Option<&'a str>);

/// Checks that a reply is a problem document as it has to be, and returns what tells it apart.
fn problem(reply: &Reply) -> Told<'_> {
    let body = &reply.body;
    assert_eq!(
        reply.headers["content-type"], "application/problem+json",
        "{body}"
    );
    assert_eq!(body["status"], reply.status.as_u16(), "{body}");
    assert_eq!(
        body["request_id"],
        reply.headers["x-request-id"].to_str().expect("text"),
        "{body}"
    );
    for text in ["type", "title", "detail", "instance"] {
        assert!(
            body[text].as_str().is_some_and(|text| !text.is_empty()),
            "{text}: {body}"
        );
    }
    let code = body["code"].as_str().expect("a code");
    (reply.status.as_u16(), code, body["field"].as_str())
}

async fn submit_bytes(client: &Client, body: impl Into<Vec<u8>>) -> Reply {
    let request = client
        .request(Method::POST, SUBMIT)
        .header("content-type", "application/json")
        .body(body.into());
    client.send(request).await
}

/// Nothing was accepted, nobody was asked, and a good request still passes.
async fn assert_unharmed(stage: &Stage, runs: usize) {
    let client = stage.client();
    let list = client.get("/mcp/v1/requests?all_tenants=true&limit=200").await;
    assert_eq!(
        list.body["requests"].as_array().expect("runs").len(),
        runs,
        "{}",
        list.body
    );
    assert_eq!(stage.simulator.stats().requests, runs as u64);
    let run = client.submit_to("sim-fast:tokens=1").await;
    assert_eq!(client.result(&run).await["status"], "succeeded");
}

all_modes! {
    async fn a_body_that_cannot_be_used_is_refused_with_its_reason(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let with = |field: &str, value: Value| {
            let mut body = json!({"prompt": "Hello"});
            body[field] = value;
            body.to_string().into_bytes()
        };
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        #[rustfmt::skip]
        let cases: Vec<(&str, Vec<u8>, Told)> = vec![
            ("nothing", b"".to_vec(), (400, "invalid_json", None)),
            ("cut off", br#"{"prompt":"x""#.to_vec(), (400, "invalid_json", None)),
            ("two documents", br#"{"prompt":"x"}{"prompt":"y"}"#.to_vec(), (400, "invalid_json", None)),
            ("a lone high surrogate", br#"{"prompt":"\ud800"}"#.to_vec(), (400, "invalid_json", None)),
            ("a lone low surrogate", br#"{"prompt":"a\udc00b"}"#.to_vec(), (400, "invalid_json", None)),
            ("not UTF-8", b"{\"prompt\":\"\xff\xfe\"}".to_vec(), (400, "invalid_json", None)),
            ("half a character", b"{\"prompt\":\"\xe2\x82\"}".to_vec(), (400, "invalid_json", None)),
            ("a raw NUL", b"{\"prompt\":\"a\x00b\"}".to_vec(), (400, "invalid_json", None)),
            ("a number beyond all bounds", br#"{"prompt":"x","temperature":1e999}"#.to_vec(), (400, "invalid_json", None)),
            ("a list", b"[]".to_vec(), (422, "invalid_field", None)),
            ("an escaped NUL", br#"{"prompt":"a\u0000b"}"#.to_vec(), (422, "nul_character", Some("prompt"))),
            ("NUL in metadata", br#"{"prompt":"x","metadata":{"a":["\u0000"]}}"#.to_vec(), (422, "nul_character", Some("metadata.a[0]"))),
            ("NUL in params", br#"{"prompt":"x","params":{"stop":"\u0000"}}"#.to_vec(), (422, "nul_character", Some("params.stop"))),
            ("no prompt", b"{}".to_vec(), (422, "empty_prompt", Some("prompt"))),
            ("an empty prompt", with("prompt", json!("")), (422, "empty_prompt", Some("prompt"))),
            ("a blank prompt", with("prompt", json!(" \n\t ")), (422, "empty_prompt", Some("prompt"))),
            ("no messages", br#"{"messages":[]}"#.to_vec(), (422, "empty_prompt", Some("messages"))),
            ("a message of nobody", br#"{"messages":[{"role":"robot","content":"x"}]}"#.to_vec(), (422, "invalid_field", Some("messages[0].role"))),
            ("an unknown field", with("promt", json!("x")), (422, "unknown_field", Some("promt"))),
            ("a prompt of the wrong type", with("prompt", json!({"text": "x"})), (422, "invalid_field", Some("prompt"))),
            ("a model of the wrong type", with("model", json!(["auto"])), (422, "invalid_field", Some("model"))),
            ("minus one token", with("max_tokens", json!(-1)), (422, "invalid_field", Some("max_tokens"))),
            ("no tokens", with("max_tokens", json!(0)), (422, "invalid_field", Some("max_tokens"))),
            ("a huge integer", br#"{"prompt":"x","max_tokens":99999999999999999999999999}"#.to_vec(), (422, "invalid_field", Some("max_tokens"))),
            ("an integer of a thousand digits", format!(r#"{{"prompt":"x","priority":{}}}"#, "9".repeat(1_000)).into_bytes(), (400, "invalid_json", None)),
            ("a priority too high", with("priority", json!(101)), (422, "invalid_field", Some("priority"))),
            ("half a priority", with("priority", json!(50.5)), (422, "invalid_field", Some("priority"))),
            ("cold", with("temperature", json!(-0.5)), (422, "invalid_field", Some("temperature"))),
            ("a deadline in the past", with("deadline_ms", json!(-1)), (422, "invalid_field", Some("deadline_ms"))),
            ("a deadline at the end of time", with("deadline_ms", json!(i64::MAX)), (422, "invalid_field", Some("deadline_ms"))),
            ("metadata that are not an object", with("metadata", json!("x")), (422, "invalid_field", Some("metadata"))),
            ("too many metadata", with("metadata", json!({"x": "y".repeat(17 * 1024)})), (422, "invalid_field", Some("metadata"))),
            ("a provider nobody knows", with("provider_hint", json!("elsewhere")), (422, "unknown_provider", Some("provider_hint"))),
            ("a parameter of ours", with("params", json!({"max_tokens": 1})), (422, "reserved_param", Some("params.max_tokens"))),
            ("half a stream", with("params", json!({"stream": 1})), (422, "invalid_field", Some("params.stream"))),
            ("several answers", with("params", json!({"n": 2})), (422, "reserved_param", Some("params.n"))),
            ("what is not built: contexts", with("context_ids", json!(["ctx_1"])), (422, "feature_not_available", Some("context_ids"))),
            ("what is not built: workflows", with("task_type", json!("workflow")), (422, "feature_not_available", Some("task_type"))),
            ("what no provider can", with("on_interruption", json!("continue")), (422, "continue_not_supported", Some("on_interruption"))),
            ("deep messages", format!(r#"{{"messages":[{}]}}"#, nested(1_000)).into_bytes(), (400, "invalid_json", Some("messages"))),
            ("deep metadata", format!(r#"{{"prompt":"x","metadata":{}}}"#, nested(1_000)).into_bytes(), (400, "invalid_json", Some("metadata"))),
            ("deep params", format!(r#"{{"prompt":"x","params":{{"a":{}}}}}"#, nested(1_000)).into_bytes(), (400, "invalid_json", None)),
            ("deep nonsense", format!(r#"{{"prompt":"x","nonsense":{}}}"#, nested(10_000)).into_bytes(), (422, "unknown_field", Some("nonsense"))),
        ];
        for (what, body, expected) in cases {
            let reply = submit_bytes(&client, body).await;
            assert!(reply.status.is_client_error(), "{what}: {}", reply.body);
            assert_eq!(problem(&reply), expected, "{what}: {}", reply.body);
        }
        assert_unharmed(&stage, 0).await;
        stage.close().await;
    }

    async fn headers_queries_ids_and_cursors_are_looked_at(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit_to("sim-fast:tokens=1").await;
        client.result(&run).await;

        let hello = || client.request(Method::POST, SUBMIT).body(r#"{"prompt":"Hello"}"#);
        for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
            let request = content_type.into_iter().fold(hello(), |request, value| request.header("content-type", value));
            let reply = client.send(request).await;
            assert_eq!(problem(&reply), (415, "unsupported_media_type", Some("content-type")), "{content_type:?}");
        }
        for key in [&b""[..], b"caf\xc3\xa9", &[b'k'; 256]] {
            let request = hello().header("content-type", "application/json").header("idempotency-key", key);
            let reply = client.send(request).await;
            assert_eq!(problem(&reply), (400, "invalid_idempotency_key", Some("idempotency-key")), "{key:?}");
        }
        for (query, field) in [("wait=-1", Some("wait")), ("wait=1e999", Some("wait")), ("wait=soon", None), ("wiat=1", None)] {
            let path = format!("{SUBMIT}?{query}");
            let reply = client.send(client.request(Method::POST, &path).json(&json!({"prompt": "Hello"}))).await;
            assert_eq!(problem(&reply), (400, "invalid_query", field), "{query}");
        }

        let events = format!("{SUBMIT}/{run}/events");
        #[rustfmt::skip]
        let queries = [
            (format!("{events}?after=here"), (400, "invalid_cursor", Some("after"))),
            (format!("{events}?after="), (400, "invalid_cursor", Some("after"))),
            (format!("{events}?after=1--1"), (400, "invalid_cursor", Some("after"))),
            (format!("{events}?after=99999999999-1"), (400, "invalid_cursor", Some("after"))),
            (format!("{events}?after=7-7"), (400, "unknown_cursor", Some("after"))),
            (format!("{events}?limit=0"), (400, "invalid_query", Some("limit"))),
            (format!("{events}?limit=1001"), (400, "invalid_query", Some("limit"))),
            (format!("{events}?limit=-1"), (400, "invalid_query", None)),
            (format!("{events}?before=1-1"), (400, "invalid_query", None)),
            ("/mcp/v1/requests?limit=201".to_owned(), (400, "invalid_query", Some("limit"))),
            ("/mcp/v1/requests?status=done".to_owned(), (400, "invalid_query", Some("status"))),
            ("/mcp/v1/requests?class=first".to_owned(), (400, "invalid_query", Some("class"))),
            ("/mcp/v1/requests?cursor=here".to_owned(), (400, "invalid_cursor", Some("cursor"))),
            ("/mcp/v1/requests?page=2".to_owned(), (400, "invalid_query", None)),
            ("/mcp/v2/requests".to_owned(), (404, "not_found", None)),
            (SUBMIT.to_owned(), (405, "method_not_allowed", None)),
            (format!("/mcp/v1/stream/{run}"), (426, "upgrade_required", None)),
        ];
        for (path, expected) in queries {
            let reply = client.get(&path).await;
            assert_eq!(problem(&reply), expected, "{path}: {}", reply.body);
        }
        let reply = client.send(client.request(Method::GET, &events).header("last-event-id", "here")).await;
        assert_eq!(problem(&reply), (400, "invalid_cursor", Some("Last-Event-ID")));

        let unknown = format!("{}{}", &run[..run.len() - 1], if run.ends_with('0') { '1' } else { '0' });
        let ids = ["run_", "42", "%00", "%ff", "run_zzzz", &"9".repeat(4_000)];
        let ids = ids.iter().map(|id| (*id, 400, "invalid_id", Some("id"))).chain([(unknown.as_str(), 404, "run_not_found", None)]);
        for (id, status, code, field) in ids {
            for (method, path) in [
                (Method::GET, format!("{SUBMIT}/{id}")),
                (Method::GET, format!("{SUBMIT}/{id}/result")),
                (Method::GET, format!("{SUBMIT}/{id}/events")),
                (Method::POST, format!("/mcp/v1/cancel/{id}")),
            ] {
                let reply = client.send(client.request(method, &path)).await;
                assert_eq!(problem(&reply), (status, code, field), "{path}");
            }
        }
        for (run, after, code) in [
            (run.as_str(), Some("here"), 4400),
            (&run, Some("7-7"), 4409),
            (&unknown, None, 4404),
            ("run_zzzz", None, 4404),
        ] {
            assert_eq!(client.watch(run, after).await.next().await, Frame::Closed(code), "{run} {after:?}");
        }
        let hold = client.submit_to("sim:fault=stall_headers").await;
        client.watch(&hold, None).await.until("attempt.started").await;
        for nonsense in ["cancel", "{}", r#"{"type":"explode"}"#, "\u{0}"] {
            let mut watcher = client.watch(&hold, None).await;
            watcher.send(nonsense).await;
            while let Frame::Event(_) = watcher.next().await {}
            assert_eq!(watcher.next().await, Frame::Broken, "{nonsense}");
        }
        assert_eq!(client.run(&hold).await["status"], "running", "nonsense cancels nothing");
        client.cancel(&hold).await;
        assert_eq!(client.result(&hold).await["status"], "cancelled");
        assert_unharmed(&stage, 2).await;
        stage.close().await;
    }

    async fn bytes_that_are_not_proper_http_harm_nobody(mode: Mode) {
        let stage = Stage::with(mode, &[("MCP_MAX_BODY_BYTES", &MAX_BODY.to_string())]).await;
        let client = stage.client();
        let post = |headers: &str, body: &[u8]| {
            let head = format!("POST {SUBMIT} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n\r\n");
            [head.as_bytes(), body].concat()
        };
        let json = "Content-Type: application/json";
        let chunk = |size: usize| [format!("{size:x}\r\n").as_bytes(), &vec![b' '; size], b"\r\n"].concat();
        let prompt = br#"{"prompt":"Hello"}"#;
        let large: Vec<u8> = (0..MAX_BODY / 1024 + 1).flat_map(|_| chunk(1024)).chain(*b"0\r\n\r\n").collect();
        #[rustfmt::skip]
        let answered: Vec<(&str, Vec<u8>, u16, Option<&str>)> = vec![
            ("a body longer than it says", post(&format!("{json}\r\nContent-Length: 5"), prompt), 400, Some("invalid_json")),
            ("a chunk without a size", post(&format!("{json}\r\nTransfer-Encoding: chunked"), b"zz\r\n{}\r\n0\r\n\r\n"), 400, Some("invalid_json")),
            ("a large body that says so", post(&format!("{json}\r\nContent-Length: 1000000000000"), b""), 413, Some("body_too_large")),
            ("a large body that says nothing", post(&format!("{json}\r\nTransfer-Encoding: chunked"), &large), 413, Some("body_too_large")),
            ("a length that is no number", post(&format!("{json}\r\nContent-Length: many"), prompt), 400, None),
            ("two lengths", post(&format!("{json}\r\nContent-Length: 5\r\nContent-Length: 18"), prompt), 400, None),
            ("no HTTP", b"\x16\x03\x01\x02\x00 hello\r\n\r\n".to_vec(), 400, None),
            ("no end of headers", format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).into_bytes(), 431, None),
        ];
        for (what, bytes, status, code) in answered {
            let (answered, body) = exchange(&client, &bytes).await;
            assert_eq!(answered, Some(status), "{what}: {body}");
            if let Some(code) = code {
                let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{what}: {body}"));
                assert_eq!(body["code"], code, "{what}: {body}");
            }
        }
        // Whoever leaves in the middle is owed nothing, but must not leave anything either.
        let shorter = post(&format!("{json}\r\nContent-Length: 500"), prompt);
        let cut_chunk = post(&format!("{json}\r\nTransfer-Encoding: chunked"), b"12\r\n{\"prompt\":\"Hello\"}");
        for bytes in [&b""[..], b"POST", &shorter, &cut_chunk] {
            let mut stream = connect(&client).await;
            stream.write_all(bytes).await.expect("written");
            stream.shutdown().await.expect("said that no more comes");
            let mut answer = Vec::new();
            let _ = soon("its end", stream.read_to_end(&mut answer)).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
        }

        // By a library, too: the answer arrives although the client is still sending.
        for size in [MAX_BODY + 1, 2 * MAX_BODY, 20 * MAX_BODY, 200 * MAX_BODY] {
            let reply = submit_bytes(&client, vec![b' '; size]).await;
            assert_eq!(problem(&reply), (413, "body_too_large", None), "{size}");
        }
        let fits = format!(r#"{{"prompt":"{}","model":"sim-fast:tokens=1"}}"#, "x".repeat(MAX_BODY - 100));
        let reply = submit_bytes(&client, fits).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
        client.result(reply.body["request_id"].as_str().expect("an id")).await;
        assert_unharmed(&stage, 1).await;
        stage.close().await;
    }
}

async fn connect(client: &Client) -> TcpStream {
    let address = client.origin().strip_prefix("http://").expect("a plain address");
    TcpStream::connect(address).await.expect("connected")
}

/// Writes and reads to the end: the status and the body, if there was an answer.
async fn exchange(client: &Client, bytes: &[u8]) -> (Option<u16>, String) {
    let (mut read, mut write) = connect(client).await.into_split();
    let mut answer = Vec::new();
    // The server may answer and close before it has read everything: what counts is that the answer arrives.
    let sending = async {
        let _ = write.write_all(bytes).await;
    };
    let reading = async { read.read_to_end(&mut answer).await.expect("no reset") };
    soon("the end of the connection", async {
        tokio::join!(sending, reading)
    })
    .await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}
