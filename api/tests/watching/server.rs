//! The API on a port of its own, over a stage.

use std::net::SocketAddr;
use std::sync::OnceLock;

use api::{ApiParts, Drain, ProviderFacts};
use futures_util::StreamExt;
use reqwest::Response;
use serde_json::Value;
use shared::config::{ApiConfig, ApiKey, DepthLimits, PressureLimits};
use shared::dispatch::LedgerDispatch;
use shared::telemetry::{MetricsHandle, install_metrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::stage::{Stage, catalog};

/// There is one recorder per process, and so one for all tests.
fn measured() -> MetricsHandle {
    static RECORDER: OnceLock<MetricsHandle> = OnceLock::new();
    RECORDER.get_or_init(|| install_metrics().unwrap()).clone()
}

/// What a client of the WebSocket holds.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A running API. Must be stopped, so that every test sees it come down.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Without keys: everybody on this machine is `local`, and admin.
    pub(crate) async fn start(stage: &Stage) -> Self {
        Self::start_with_keys(stage, &[]).await
    }

    /// With keys such as `acme:0123456789abcdef:admin`.
    pub(crate) async fn start_with_keys(stage: &Stage, keys: &[&str]) -> Self {
        let drain = Drain::default();
        let keys: Vec<ApiKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
        let parts = ApiParts {
            ledger: stage.ledger.clone(),
            offer: LedgerDispatch::dispatch(stage.ledger.backlog.clone()).offer,
            feed: stage.feed.clone(),
            config: ApiConfig {
                keys,
                hash_key: "0123456789abcdef0123456789abcdef".parse().unwrap(),
                max_body_bytes: 1024 * 1024,
                depth: DepthLimits {
                    per_tenant: 1_000,
                    in_all: 1_000,
                },
                pressure: PressureLimits::default(),
            },
            providers: ProviderFacts {
                catalog: catalog("none", None, false),
                auto: Some("auto-model".to_owned()),
            },
            metrics: Some(measured()),
            drain: drain.clone(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            address,
            drain,
            task: tokio::spawn(api::serve(listener, parts)),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&'static str, &str)]) -> Response {
        let mut request = reqwest::Client::new().get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path, &[("accept", "application/json")]).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// The problem a request is refused with: its status and its code.
    pub(crate) async fn refusal(&self, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        let response = self.get(path, headers).await;
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        let status = response.status().as_u16();
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["status"], status);
        (status, problem["code"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn socket(&self, path: &str) -> Socket {
        let url = format!("ws://{}{path}", self.address);
        tokio_tungstenite::connect_async(url).await.unwrap().0
    }

    /// Takes the server down and waits for it.
    pub(crate) async fn stop(self) {
        self.drain.finish();
        self.task.await.unwrap().unwrap();
    }
}

/// Reads server-sent events as a browser does.
pub(crate) struct EventSource {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    unread: Vec<u8>,
}

/// One block of the stream: its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block(pub(crate) Vec<String>);

impl Block {
    /// The value of a field, such as `id`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl EventSource {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        Self {
            body: Box::pin(response.bytes_stream()),
            unread: Vec::new(),
        }
    }

    /// The next block; none once the stream has ended cleanly.
    pub(crate) async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                let text = String::from_utf8(block).unwrap();
                return Some(Block(text.trim_end().lines().map(str::to_owned).collect()));
            }
            match self.body.next().await {
                Some(chunk) => self.unread.extend_from_slice(&chunk.unwrap()),
                None => {
                    assert!(self.unread.is_empty(), "ends between two blocks");
                    return None;
                }
            }
        }
    }

    /// The next entry of the log, as the text it came in; none once the stream has ended.
    pub(crate) async fn entry(&mut self) -> Option<String> {
        loop {
            let block = self.block().await?;
            if let Some(data) = block.field("data") {
                let entry: Value = serde_json::from_str(data).unwrap();
                assert_eq!(block.field("id"), entry["cursor"].as_str());
                assert_eq!(block.field("event"), entry["type"].as_str());
                return Some(data.to_owned());
            }
        }
    }

    /// Every entry up to the end.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut entries = Vec::new();
        while let Some(entry) = self.entry().await {
            entries.push(entry);
        }
        entries
    }
}

/// The next text frame or close frame, pings left out.
pub(crate) async fn heard(socket: &mut Socket) -> Result<String, Option<CloseFrame>> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(Message::Close(frame))) => return Err(frame),
            Some(Err(tungstenite::Error::ConnectionClosed)) | None => return Err(None),
            other => panic!("{other:?}"),
        }
    }
}

/// Every text frame up to the close, and the code of the close. After it the connection ends cleanly.
pub(crate) async fn until_closed(mut socket: Socket) -> (Vec<String>, u16) {
    let mut frames = Vec::new();
    loop {
        match heard(&mut socket).await {
            Ok(text) => frames.push(text),
            Err(frame) => {
                let code = frame.expect("a close frame").code.into();
                assert!(matches!(
                    socket.next().await,
                    None | Some(Err(tungstenite::Error::ConnectionClosed))
                ));
                return (frames, code);
            }
        }
    }
}

/// The cursors of entries given as text.
pub(crate) fn cursors(entries: &[String]) -> Vec<String> {
    let cursor = |entry: &String| {
        serde_json::from_str::<Value>(entry).unwrap()["cursor"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    entries.iter().map(cursor).collect()
}
