//! The server: its configuration, its routes, and the handle by which a process runs and observes one.
//!
//! Must never outlive its token: when that is cancelled every connection is closed, answers in progress included,
//! because a simulated answer is worth nobody's waiting.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri},
    middleware,
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    chat,
    faults::Attempts,
    refusal::Refusal,
    script::MODELS,
    stats::{RequestRecord, Stats, Tally},
    wire::{Line, WireListener},
};

/// The header, with the value `true`, that every response carries.
pub const SIMULATED_HEADER: HeaderName = HeaderName::from_static("x-simulated");

/// Room for the largest prompt that the control plane accepts, several times over.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// What a request gets that does not script it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatorConfig {
    /// Decides the text of every answer, together with the messages.
    pub seed: u64,
    /// From the request to the first token.
    pub first_token_delay: Duration,
    /// From one token to the next.
    pub token_interval: Duration,
    /// Length of an answer in tokens.
    pub tokens: u32,
    /// How many requests the log remembers.
    pub request_log: usize,
}

impl Default for SimulatorConfig {
    /// The manner of a quick hosted model: 200 ms, then 50 tokens a second, 64 of them.
    fn default() -> Self {
        Self {
            seed: 1,
            first_token_delay: Duration::from_millis(200),
            token_interval: Duration::from_millis(20),
            tokens: 64,
            request_log: 256,
        }
    }
}

/// What handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) config: Arc<SimulatorConfig>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) attempts: Arc<Attempts>,
}

impl Provider {
    fn new(config: SimulatorConfig) -> Self {
        Self {
            tally: Arc::new(Tally::new(config.request_log)),
            attempts: Arc::default(),
            config: Arc::new(config),
        }
    }
}

/// Serves on `listener` until `shutdown` is cancelled. No task and no connection is left when this returns.
///
/// # Errors
///
/// If the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    config: SimulatorConfig,
    shutdown: CancellationToken,
) -> io::Result<()> {
    run(listener, Provider::new(config), shutdown).await
}

async fn run(listener: TcpListener, provider: Provider, shutdown: CancellationToken) -> io::Result<()> {
    let app = router(provider).into_make_service_with_connect_info::<Line>();
    axum::serve(WireListener::new(listener, shutdown.clone()), app)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

fn router(provider: Provider) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/models", get(models))
        .route("/simulator/stats", get(stats))
        .route("/simulator/requests", get(requests))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::map_response(label))
        .with_state(provider)
}

async fn label(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(SIMULATED_HEADER, HeaderValue::from_static("true"));
    response
}

async fn models() -> Json<Value> {
    let data: Vec<Value> = MODELS
        .iter()
        .map(|id| json!({ "id": id, "object": "model", "created": 0, "owned_by": "simulator" }))
        .collect();
    Json(json!({ "object": "list", "data": data }))
}

async fn stats(State(provider): State<Provider>) -> Json<Stats> {
    Json(provider.tally.stats())
}

async fn requests(State(provider): State<Provider>) -> Json<Value> {
    Json(json!({ "data": provider.tally.requests() }))
}

async fn unknown_path(method: Method, uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        Some("unknown_url"),
        format!("unknown request URL: {method} {}", uri.path()),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let message = format!("{method} is not allowed on {}", uri.path());
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Some("method_not_supported"),
        message,
    )
}

/// A running simulator and the view of it from inside the process. Dropping it ends it.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    tally: Arc<Tally>,
    shutdown: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Simulator {
    /// Binds `addr` (port 0 for any) and serves in a task of its own.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn bind(addr: impl ToSocketAddrs, config: SimulatorConfig) -> io::Result<Self> {
        Self::start(TcpListener::bind(addr).await?, config)
    }

    /// Serves on `listener` in a task of its own. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the listener does not know its address.
    pub fn start(listener: TcpListener, config: SimulatorConfig) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let provider = Provider::new(config);
        let tally = Arc::clone(&provider.tally);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(listener, provider, shutdown.clone()));
        Ok(Self {
            addr,
            tally,
            shutdown,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What an OpenAI client takes as its base URL: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The counters now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.tally.stats()
    }

    /// The counters and every change of them; the log of requests changes with them.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Stats> {
        self.tally.watch()
    }

    /// The last requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.tally.requests()
    }

    /// Waits until the counters satisfy `condition` and returns them. Waits for ever if they never do.
    pub async fn wait_for(&self, mut condition: impl FnMut(&Stats) -> bool) -> Stats {
        let mut watch = self.tally.watch();
        match watch.wait_for(|stats| condition(stats)).await {
            Ok(stats) => *stats,
            // The sender lives in `self.tally`, so it is never gone while this borrows `self`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until a request of the log satisfies `condition` and returns it. Waits for ever if none does.
    pub async fn wait_for_request(&self, mut condition: impl FnMut(&RequestRecord) -> bool) -> RequestRecord {
        let mut watch = self.tally.watch();
        loop {
            watch.mark_unchanged();
            if let Some(found) = self.tally.requests().into_iter().find(&mut condition) {
                return found;
            }
            if watch.changed().await.is_err() {
                // As above.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Closes every connection and waits until nothing of the simulator is left.
    ///
    /// # Errors
    ///
    /// If the server had failed before.
    pub async fn stop(mut self) -> io::Result<()> {
        self.shutdown.cancel();
        (&mut self.task).await.map_err(io::Error::other)?
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
