//! A server of one run: the native API as far as the client uses it, with a log that a test writes and connections
//! that end as a test says. It checks nothing: it remembers what was asked of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use shared::domain::Cursor;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The run every test is about.
pub(crate) const RUN: &str = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1";
const WORKER: &str = "wrk_0197a0c7be6b7cc2a1b5d1e0d5d8f3a2";

/// How a connection to the stream goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Connection {
    /// Everything after the cursor, then close 1000.
    Whole,
    /// So many entries, then the socket is dropped without a word.
    Dropped(usize),
    /// So many entries, then this close code.
    Closed(usize, u16),
    /// Everything from the start, whatever cursor was given.
    FromTheStart,
    /// The first entry after the cursor is left out.
    Hole,
    /// So many entries, then nothing until `go` is told; then the rest.
    Held(usize),
    /// The upgrade is refused with this status.
    Refused(u16),
}

#[derive(Debug, Default)]
struct Inner {
    log: Vec<Value>,
    connections: VecDeque<Connection>,
    /// Answers to requests, in order, instead of the usual ones.
    refusals: VecDeque<(u16, &'static str, String)>,
    result: Value,
    finished: bool,
    seen: Vec<Seen>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// What the handlers share.
#[derive(Debug, Clone, Default)]
struct Shared {
    inner: Arc<Mutex<Inner>>,
    go: Arc<Notify>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn saw(&self, method: &str, uri: &Uri, headers: &HeaderMap, body: Value) -> Option<Response> {
        let mut inner = self.lock();
        inner.seen.push(Seen {
            line: format!("{method} {uri}"),
            headers: headers.clone(),
            body,
        });
        inner.refusals.pop_front().map(|(status, content_type, body)| {
            let status = StatusCode::from_u16(status).unwrap();
            (
                status,
                [("content-type", content_type), ("retry-after", "7")],
                body,
            )
                .into_response()
        })
    }
}

/// A running server.
pub(crate) struct Server {
    shared: Shared,
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        shared.lock().result = json!({
            "request_id": RUN, "status": "succeeded", "text": "Hello world", "message": {"role": "assistant"},
            "finish_reason": "stop", "provider": "simulator", "model": "sim", "cost_usd": null, "error": null,
            "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "simulated": true,
            "finished_at": "2026-01-01T00:00:02.000Z",
        });
        shared.lock().finished = true;
        let app = Router::new()
            .route("/mcp/v1/request", post(submit))
            .route("/mcp/v1/request/{id}", get(status))
            .route("/mcp/v1/request/{id}/result", get(result))
            .route("/mcp/v1/requests", get(list))
            .route("/mcp/v1/admin/providers", get(providers))
            .route("/mcp/v1/cancel/{id}", post(cancel))
            .route("/mcp/v1/stream/{id}", get(stream))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            shared,
            address,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The log: `(cursor, type, data)`.
    pub(crate) fn log(self, entries: &[(&str, &str, Value)]) -> Self {
        let entry = |(cursor, name, data): &(&str, &str, Value)| json!({"cursor": cursor, "type": name, "at": "2026-01-01T00:00:00.000Z", "data": data});
        self.shared.lock().log = entries.iter().map(entry).collect();
        self
    }

    /// How the next connections to the stream go; later ones are [`Connection::Whole`].
    pub(crate) fn connections(self, connections: &[Connection]) -> Self {
        self.shared.lock().connections = connections.iter().copied().collect();
        self
    }

    /// Answers the next request with a problem document.
    pub(crate) fn refuse(self, status: u16, code: &str) -> Self {
        let problem = json!({
            "type": "about:blank", "title": "Refused", "status": status, "code": code, "field": "max_tokens",
            "detail": format!("because of {code}"), "request_id": "req_1",
        });
        self.answer(status, "application/problem+json", &problem.to_string())
    }

    /// Answers the next request with this.
    pub(crate) fn answer(self, status: u16, content_type: &'static str, body: &str) -> Self {
        self.shared
            .lock()
            .refusals
            .push_back((status, content_type, body.to_owned()));
        self
    }

    /// Fields of the result that differ.
    pub(crate) fn result(self, fields: Value) -> Self {
        let Value::Object(fields) = fields else {
            panic!("an object")
        };
        self.shared.lock().result.as_object_mut().unwrap().extend(fields);
        self
    }

    /// The run has not ended.
    pub(crate) fn unfinished(self) -> Self {
        self.shared.lock().finished = false;
        self
    }

    /// Lets held connections go on.
    pub(crate) fn go(&self) {
        self.shared.go.notify_one();
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// The request lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

/// Queued, claimed and routed: what every log begins with.
pub(crate) fn beginning() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "0-1",
            "run.queued",
            json!({"class": "standard", "estimate": {}, "simulated": true}),
        ),
        (
            "1-1",
            "attempt.started",
            json!({"attempt": 1, "worker": WORKER, "simulated": true}),
        ),
        (
            "1-2",
            "route.selected",
            json!({"provider": "simulator", "model": "sim", "why": "only one", "simulated": true}),
        ),
    ]
}

/// A piece of text.
pub(crate) fn delta(text: &str) -> Value {
    json!({"text": text, "simulated": true})
}

/// An attempt that makes void what came after a cursor.
pub(crate) fn rewind(attempt: u32, void_after: &str) -> Value {
    json!({"attempt": attempt, "worker": WORKER, "void_after": void_after, "simulated": true})
}

/// A whole log of the answer "Hello world".
pub(crate) fn hello() -> Vec<(&'static str, &'static str, Value)> {
    let mut log = beginning();
    log.extend([
        ("1-3", "output.delta", delta("Hel")),
        ("1-4", "output.delta", delta("lo ")),
        ("1-5", "output.delta", delta("wor")),
        ("1-6", "output.delta", delta("ld")),
        (
            "1-7",
            "usage.reported",
            json!({"provider": "simulator", "model": "sim", "input_tokens": 3, "output_tokens": 2, "cost_usd": null,
                "raw": {}, "simulated": true}),
        ),
        ("1-8", "run.succeeded", json!({"finish_reason": "stop", "simulated": true})),
    ]);
    log
}

pub(crate) fn run_body(status: &str) -> Value {
    json!({
        "request_id": RUN, "kind": "chat", "status": status, "class": "standard", "priority": 50,
        "task_type": "chat", "model": "auto", "tenant": "local", "user_hash": null, "attempts": 1,
        "created_at": "2026-01-01T00:00:00.000Z", "started_at": null, "finished_at": null, "deadline_at": null,
        "cancel_requested_at": null, "on_interruption": "restart", "estimated_cost_usd": null,
        "estimated_tokens": {"input": 3, "output": 64}, "metadata": null, "simulated": true, "links": {},
    })
}

fn json_answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

async fn submit(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let body = serde_json::from_str(&body).unwrap();
    shared.saw("POST", &uri, &headers, body).unwrap_or_else(|| {
        let mut accepted = run_body("queued");
        // Not what is understood by the client: it must come through as it is.
        accepted["extension"] = json!("kept");
        json_answer(202, &accepted)
    })
}

async fn status(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    shared
        .saw("GET", &uri, &headers, Value::Null)
        .unwrap_or_else(|| json_answer(200, &run_body("running")))
}

async fn result(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(refusal) = shared.saw("GET", &uri, &headers, Value::Null) {
        return refusal;
    }
    let inner = shared.lock();
    if inner.finished {
        json_answer(200, &inner.result)
    } else {
        json_answer(202, &run_body("running"))
    }
}

async fn list(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    shared.saw("GET", &uri, &headers, Value::Null).unwrap_or_else(|| {
        let runs = [run_body("running"), run_body("succeeded")];
        json_answer(200, &json!({"requests": runs, "next_cursor": "page-2"}))
    })
}

/// One worker has called one model, whose breaker is open.
async fn providers(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    shared.saw("GET", &uri, &headers, Value::Null).unwrap_or_else(|| {
        let live = json!({"provider": "openai", "keys": 1, "local": false, "simulated": false, "workers": 2});
        let model = json!({"provider": "openai", "model": "gpt-4o-mini", "calls": 9, "failures": 5,
            "first_token_ms": 321.0, "tokens_per_second": 45.0, "error_rate": 0.5, "in_flight": 0, "headroom": 1.0,
            "breaker": "open", "open_until": "2999-01-01T00:00:00.000Z", "cost_usd": 0.1});
        json_answer(200, &json!({"providers": [live], "models": [model], "workers": []}))
    })
}

async fn cancel(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    shared
        .saw("POST", &uri, &headers, Value::Null)
        .unwrap_or_else(|| json_answer(202, &run_body("running")))
}

async fn stream(
    State(shared): State<Shared>,
    Path(_): Path<String>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some(refusal) = shared.saw("GET", &uri, &headers, Value::Null) {
        return refusal;
    }
    let connection = shared.lock().connections.pop_front().unwrap_or(Connection::Whole);
    if let Connection::Refused(status) = connection {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let after = query.and_then(|query| query.strip_prefix("after=").map(|cursor| cursor.parse().unwrap()));
    upgrade.on_upgrade(move |socket| serve(socket, shared, connection, after.unwrap_or(Cursor::START)))
}

async fn serve(mut socket: WebSocket, shared: Shared, connection: Connection, after: Cursor) {
    let log = shared.lock().log.clone();
    let cursor = |entry: &Value| entry["cursor"].as_str().unwrap().parse::<Cursor>().unwrap();
    let mut rest: Vec<Value> = log.into_iter().filter(|entry| cursor(entry) > after).collect();
    let sent = match connection {
        Connection::Dropped(count) | Connection::Closed(count, _) | Connection::Held(count) => count,
        Connection::Hole => {
            rest.remove(0);
            rest.len()
        }
        Connection::FromTheStart => {
            rest = shared.lock().log.clone();
            rest.len()
        }
        Connection::Whole | Connection::Refused(_) => rest.len(),
    };
    for (index, entry) in rest.iter().enumerate() {
        if index == sent {
            match connection {
                Connection::Held(_) => shared.go.notified().await,
                _ => break,
            }
        }
        if socket
            .send(Message::Text(entry.to_string().into()))
            .await
            .is_err()
        {
            return;
        }
    }
    if matches!(connection, Connection::Held(count) if count >= rest.len()) {
        shared.go.notified().await;
    }
    let code = match connection {
        // Dropping it closes the connection without a close frame.
        Connection::Dropped(_) => return,
        Connection::Closed(_, code) => code,
        _ => 1000,
    };
    let _ = socket
        .send(Message::Close(Some(CloseFrame {
            code,
            reason: "".into(),
        })))
        .await;
}
