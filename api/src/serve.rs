//! The API on a listener, until it is drained. A connection costs one task and is bounded in every wait: for a
//! request's head, for its body (`body`), and for its end when the listener closes.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::app::{self, ApiParts, AppState};
use crate::drain::Drain;
use crate::lingering::Lingering;

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until the head of a request is here, counted from the connection or from the answer before: also how long a
    /// connection may stay idle.
    head: Duration,
    /// For answers under way when the listener closes.
    last_words: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(75),
            last_words: Duration::from_secs(5),
        }
    }
}

/// A pause after the system had no connection to give, such as for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Serves the API on a listener. Returns once the drain's hard part has begun and what was under way has ended (or
/// has been cut off after five seconds).
///
/// # Errors
/// When the listener's address cannot be told: it is not listening.
pub async fn serve(listener: TcpListener, parts: ApiParts) -> io::Result<()> {
    serve_with(listener, parts, Patience::default()).await
}

async fn serve_with(listener: TcpListener, parts: ApiParts, patience: Patience) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "listening");
    let drain = parts.drain.clone();
    let tracker = TaskTracker::new();
    let router = app::router(AppState::new(parts, tracker.clone()));
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.closing() => break,
        };
        match socket {
            Ok((socket, _)) => {
                tracker.spawn(converse(socket, router.clone(), drain.clone(), patience));
            }
            // The client was gone before it was accepted.
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(BREATH).await;
            }
        }
    }
    drop((listener, router));
    tracker.close();
    if timeout(patience.last_words * 2, tracker.wait()).await.is_err() {
        tracing::warn!(tasks = tracker.len(), "left behind");
    }
    Ok(())
}

/// One connection, from its first request to its last.
async fn converse(socket: TcpStream, router: Router, drain: Drain, patience: Patience) {
    // Tokens are small and must not wait for each other.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let service =
        TowerToHyperService::new(router.map_request(|request: Request<Incoming>| request.map(Body::new)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head);
    let mut connection = pin!(
        http.serve_connection(TokioIo::new(Lingering::new(socket)), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.closing() => {
            connection.as_mut().graceful_shutdown();
            match timeout(patience.last_words, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::warn!("a connection was cut off"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use shared::config::{ApiConfig, DepthLimits, PressureLimits};
    use shared::dispatch::LedgerDispatch;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::admission::ProviderFacts;
    use crate::stage::{Stage, catalog};

    async fn start(
        stage: &Stage,
        drain: &Drain,
        patience: Patience,
    ) -> (SocketAddr, JoinHandle<io::Result<()>>) {
        let parts = ApiParts {
            ledger: stage.ledger.clone(),
            offer: LedgerDispatch::dispatch(Arc::clone(&stage.ledger.backlog)).offer,
            feed: stage.feed.clone(),
            config: ApiConfig {
                keys: Vec::new(),
                hash_key: "0123456789abcdef0123456789abcdef".parse().unwrap(),
                max_body_bytes: 1_024,
                depth: DepthLimits {
                    per_tenant: 10,
                    in_all: 10,
                },
                pressure: PressureLimits::default(),
            },
            providers: ProviderFacts {
                catalog: catalog("none", None, false),
                auto: Some("auto-model".to_owned()),
            },
            metrics: None,
            drain: drain.clone(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        (
            listener.local_addr().unwrap(),
            tokio::spawn(serve_with(listener, parts, patience)),
        )
    }

    /// Everything the server says until it closes the connection.
    async fn heard(mut socket: TcpStream) -> String {
        let mut text = Vec::new();
        socket.read_to_end(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_its_request_is_hung_up_on() {
        let (stage, drain) = (Stage::open().await, Drain::default());
        let patience = Patience {
            head: Duration::from_millis(50),
            ..Patience::default()
        };
        let (address, server) = start(&stage, &drain, patience).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /health HTTP/1.1\r\nhost: loc")
            .await
            .unwrap();
        let answer = heard(slow).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        drain.finish();
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn idle_connections_do_not_hold_up_the_end_and_endless_bodies_are_cut_off() {
        let (stage, drain) = (Stage::open().await, Drain::default());
        let patience = Patience {
            last_words: Duration::from_millis(50),
            ..Patience::default()
        };
        let (address, server) = start(&stage, &drain, patience).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut seen = [0; 15];
        idle.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"HTTP/1.1 200 OK");
        let mut endless = TcpStream::connect(address).await.unwrap();
        let head = "POST /mcp/v1/request HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                    content-length: 100\r\nexpect: 100-continue\r\n\r\n";
        endless.write_all(head.as_bytes()).await.unwrap();
        // The body is being waited for.
        endless.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"HTTP/1.1 100 Co");
        drain.finish();
        server.await.unwrap().unwrap();
        assert!(heard(idle).await.contains(r#""status":"ok""#));
        assert!(
            !heard(endless).await.contains("HTTP/1.1"),
            "cut off without an answer"
        );
        assert!(
            TcpStream::connect(address).await.is_err(),
            "nobody listens any more"
        );
    }
}
