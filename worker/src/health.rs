//! The small HTTP side of a worker: alive, ready, metrics. Only where a port was asked for.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use shared::telemetry::MetricsHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct Health {
    lease_held: watch::Receiver<bool>,
    metrics: MetricsHandle,
}

/// Serves `/health`, `/healthz` (alive), `/health/ready`, `/readyz` (holds its lease) and `/metrics`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    lease_held: watch::Receiver<bool>,
    metrics: MetricsHandle,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let alive = || async { "ok\n" };
    let ready = |State(health): State<Health>| async move {
        if *health.lease_held.borrow() {
            (StatusCode::OK, "ready\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "no lease: the ledger is away, or this worker is starting or stopping\n",
            )
        }
    };
    let render = |State(health): State<Health>| async move { health.metrics.render() };
    let router = Router::new()
        .route("/health", get(alive))
        .route("/healthz", get(alive))
        .route("/health/ready", get(ready))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(Health { lease_held, metrics });
    let listener = listener.tap_io(|socket| {
        // Without it answers may wait 40 ms; not worth failing for.
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
