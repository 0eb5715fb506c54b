//! A run's end if it has ended, the run as it is if it has not: the answer to `result`, and to a submit that waited.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use shared::ledger::{Reader, RunRecord};
use shared::watch::Watcher;
use tokio::time::timeout;

use super::result_body::ResultBody;
use super::run_body::RunBody;
use crate::drain::Drain;
use crate::problem::Problem;

/// Seconds until it makes sense to ask again.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// 200 with the result of a run that has ended, 202 with `Retry-After` and the run for one that has not.
///
/// # Errors
/// When the ledger is away.
pub(super) async fn render(run: RunRecord, reader: &Reader) -> Result<Response, Problem> {
    if !run.status.is_terminal() {
        return Ok(pending(run));
    }
    let stored = reader.result(run.id).await?;
    let stored =
        stored.ok_or_else(|| Problem::internal(&format!("{} has ended without a result", run.id)))?;
    Ok(Json(ResultBody::of(&run, stored)?).into_response())
}

/// 202 with `Retry-After` and the run.
pub(super) fn pending(run: RunRecord) -> Response {
    let body = Json(RunBody::of(run, shared::clock::now()));
    (StatusCode::ACCEPTED, [(header::RETRY_AFTER, ASK_AGAIN)], body).into_response()
}

/// Returns when the watched run has ended, when it takes too long, or when this process drains.
pub(super) async fn ended(mut watcher: Watcher, patience: Duration, drain: &Drain) {
    let last = async { while watcher.next().await.is_some() {} };
    tokio::select! {
        _ = timeout(patience, last) => {}
        () = drain.draining() => {}
    }
}
