//! A client of the HTTP API: nothing but public protocol, through libraries that are not ours.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::domain::{Answer, Cursor, LogEntry, Transcript};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::soon;

/// What is asked when it does not matter.
pub(crate) const PROMPT: &str = "Tell me something";

/// Talks to one API.
#[derive(Clone)]
pub(crate) struct Client {
    origin: String,
    http: reqwest::Client,
    key: Option<String>,
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(origin: String) -> Self {
        Self {
            origin,
            http: reqwest::Client::new(),
            key: None,
        }
    }

    /// The same, with an API key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// The same, with another process.
    pub(crate) fn at(&self, origin: String) -> Self {
        Self {
            origin,
            ..self.clone()
        }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.origin));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends and reads; fails the test only when there is no answer.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        self.try_send(request).await.expect("an answer")
    }

    /// The same, where the server may be away.
    pub(crate) async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// Submits; whatever the answer is.
    pub(crate) async fn post(&self, body: &Value) -> Reply {
        self.send(self.request(Method::POST, "/mcp/v1/request").json(body))
            .await
    }

    /// Submits and is accepted.
    pub(crate) async fn submit(&self, body: &Value) -> String {
        let reply = self.post(body).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
        reply.body["request_id"].as_str().expect("an id").to_owned()
    }

    /// Submits a prompt to a scripted model and is accepted.
    pub(crate) async fn submit_to(&self, model: &str) -> String {
        self.submit(&json!({"prompt": PROMPT, "model": model})).await
    }

    /// Waits for a run's end and returns its result.
    pub(crate) async fn result(&self, run: &str) -> Value {
        soon("a terminal event", async {
            self.watch(run, None).await.rest().await
        })
        .await;
        let reply = self.get(&format!("/mcp/v1/request/{run}/result")).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.body
    }

    pub(crate) async fn run(&self, run: &str) -> Value {
        let reply = self.get(&format!("/mcp/v1/request/{run}")).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.body
    }

    pub(crate) async fn cancel(&self, run: &str) -> Reply {
        self.send(self.request(Method::POST, &format!("/mcp/v1/cancel/{run}")))
            .await
    }

    /// Every event in the ledger, page by page, as JSON.
    pub(crate) async fn history(&self, run: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = "0-0".to_owned();
        loop {
            let path = format!("/mcp/v1/request/{run}/events?limit=100&after={after}");
            let reply = self
                .send(
                    self.request(Method::GET, &path)
                        .header("accept", "application/json"),
                )
                .await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            let page = reply.body["events"].as_array().expect("events").clone();
            let Some(last) = page.last() else { return events };
            after = last["cursor"].as_str().expect("a cursor").to_owned();
            events.extend(page);
        }
    }

    /// Opens a WebSocket on a run.
    pub(crate) async fn watch(&self, run: &str, after: Option<&str>) -> Watcher {
        self.try_watch(run, after).await.expect("a WebSocket")
    }

    /// The same, where the upgrade may be refused.
    pub(crate) async fn try_watch(
        &self,
        run: &str,
        after: Option<&str>,
    ) -> Result<Watcher, tungstenite::Error> {
        let origin = self.origin.replacen("http", "ws", 1);
        let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
        let url = format!("{origin}/mcp/v1/stream/{run}{query}");
        let mut request = url.into_client_request()?;
        if let Some(key) = &self.key {
            let bearer = format!("Bearer {key}").parse().expect("a header");
            request.headers_mut().insert("authorization", bearer);
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Watcher {
            socket,
            seen: Vec::new(),
        })
    }
}

/// What comes over a WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    /// An event, as text.
    Event(String),
    /// The server closed, with this code.
    Closed(u16),
    /// The connection broke.
    Broken,
}

/// One watcher. Keeps what it saw, and checks at every frame that cursors strictly increase.
pub(crate) struct Watcher {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    seen: Vec<String>,
}

impl Watcher {
    pub(crate) async fn next(&mut self) -> Frame {
        soon("a frame", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let text = text.to_string();
                        let cursor = cursor(&text);
                        if let Some(before) = self.seen.last() {
                            assert!(self::cursor(before) < cursor, "{before}\n{text}");
                        }
                        self.seen.push(text.clone());
                        return Frame::Event(text);
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Frame::Closed(frame.map_or(1005, |frame| CloseCode::into(frame.code)));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Frame::Broken,
                }
            }
        })
        .await
    }

    /// Reads on until an event of this type, which it returns.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            match self.next().await {
                Frame::Event(text) => {
                    let event: Value = serde_json::from_str(&text).expect("JSON");
                    if event["type"] == kind {
                        return event;
                    }
                }
                other => panic!("no {kind}, but {other:?}, after {:#?}", self.seen),
            }
        }
    }

    /// Reads to the end, which must be a clean close after the terminal event.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        loop {
            match self.next().await {
                Frame::Event(_) => {}
                Frame::Closed(code) => {
                    assert_eq!(code, 1000, "{:#?}", self.seen);
                    return self.seen;
                }
                Frame::Broken => panic!("broken after {:#?}", self.seen),
            }
        }
    }

    /// Reads until the connection breaks.
    pub(crate) async fn broken(mut self) -> Vec<String> {
        loop {
            match self.next().await {
                Frame::Event(_) => {}
                Frame::Broken => return self.seen,
                Frame::Closed(code) => panic!("closed with {code} after {:#?}", self.seen),
            }
        }
    }

    /// Reads until the server closes the connection; answers with which code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Frame::Event(_) => {}
                Frame::Closed(code) => return code,
                Frame::Broken => panic!("broken after {:#?}", self.seen),
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    /// Everything seen so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// The latest cursor.
    pub(crate) fn last(&self) -> Option<String> {
        self.seen.last().map(|text| cursor(text).to_string())
    }
}

fn cursor(text: &str) -> Cursor {
    let event: Value = serde_json::from_str(text).expect("JSON");
    event["cursor"]
        .as_str()
        .expect("a cursor")
        .parse()
        .expect("a cursor")
}

/// Frames as JSON.
pub(crate) fn parsed(frames: &[String]) -> Vec<Value> {
    frames
        .iter()
        .map(|frame| serde_json::from_str(frame).expect("JSON"))
        .collect()
}

/// The types of events, in order, with output told once however many pieces it came in.
pub(crate) fn plot(events: &[Value]) -> Vec<String> {
    let mut kinds = kinds(events);
    kinds.dedup_by(|a, b| a == b && a == "output.delta");
    kinds
}

/// The types of events, in order.
pub(crate) fn kinds(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| event["type"].as_str().expect("a type").to_owned())
        .collect()
}

/// The fold over events as they came over the wire.
pub(crate) fn answer(events: &[Value]) -> Answer {
    let mut transcript = Transcript::default();
    for event in events {
        let entry = LogEntry {
            cursor: event["cursor"]
                .as_str()
                .expect("a cursor")
                .parse()
                .expect("a cursor"),
            kind: event["type"]
                .as_str()
                .expect("a type")
                .parse()
                .expect("a known type"),
            at: serde_json::from_value(event["at"].clone()).expect("a moment"),
            data: event["data"].to_string().into(),
        };
        transcript.apply(&entry).expect("readable data");
    }
    transcript.answer()
}

/// Checks what holds for every finished log: cursors strictly increase, are dense inside an epoch, begin with
/// `run.queued`, and end with the only terminal event.
pub(crate) fn assert_sound(events: &[Value]) {
    let cursors: Vec<Cursor> = events.iter().map(|event| cursor(&event.to_string())).collect();
    assert_eq!(cursors.first(), Some(&Cursor::QUEUED));
    for pair in cursors.windows(2) {
        let follows = if pair[0].epoch == pair[1].epoch {
            pair[1].seq == pair[0].seq + 1
        } else {
            pair[1].seq == 1
        };
        assert!(pair[0] < pair[1] && follows, "{pair:?}");
    }
    let terminal = |kind: &String| ["run.succeeded", "run.failed", "run.cancelled"].contains(&kind.as_str());
    let kinds = kinds(events);
    assert!(kinds.last().is_some_and(terminal), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| terminal(kind)).count(), 1, "{kinds:?}");
}
