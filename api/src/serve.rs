//! The API on a listener, until it is drained.

use std::io;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::app::{self, ApiParts, AppState};

/// Answers under way when the listener closes get so long to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves the API on a listener. Returns once the drain's hard part has begun and what was under way has ended (or
/// has been cut off after five seconds).
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, parts: ApiParts) -> io::Result<()> {
    let drain = parts.drain.clone();
    let tracker = TaskTracker::new();
    let router = app::router(AppState::new(parts, tracker.clone()));
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a connection that is gone already");
        }
    });
    let closing = drain.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { closing.closing().await });
    let last_words = async {
        drain.closing().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let served = tokio::select! {
        served = server => served,
        () = last_words => Ok(()),
    };
    tracker.close();
    if timeout(LAST_WORDS, tracker.wait()).await.is_err() {
        tracing::warn!(tasks = tracker.len(), "connections were cut off");
    }
    served
}
