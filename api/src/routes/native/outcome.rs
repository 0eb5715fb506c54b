//! A run's end if it has ended, the run as it is if it has not: the answer to `result`, and to a submit that waited.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use shared::domain::{Answer, Cursor, RunId, Status, Transcript};
use shared::ledger::{Ledger, Log, RunRecord, StoredResult, is_full_page};
use shared::watch::Watcher;
use tokio::time::timeout;

use super::result_body::ResultBody;
use super::run_body::RunBody;
use crate::drain::Drain;
use crate::problem::Problem;

/// Seconds until it makes sense to ask again.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Entries of a log read at a time.
const PAGE: u32 = 256;

/// 200 with the result of a run that has ended, 202 with `Retry-After` and the run for one that has not.
///
/// # Errors
/// When the ledger is away.
pub(super) async fn render(run: RunRecord, ledger: &Ledger) -> Result<Response, Problem> {
    if !run.status.is_terminal() {
        return Ok(pending(run));
    }
    let stored = ledger.reader.result(run.id).await?;
    let stored =
        stored.ok_or_else(|| Problem::internal(&format!("{} has ended without a result", run.id)))?;
    let answer = answer(&run, &stored, ledger.log.as_ref()).await?;
    let calls = ledger.reader.calls(run.id).await?.len();
    Ok(Json(ResultBody::of(&run, stored, answer, calls)?).into_response())
}

/// The stored answer, or what the log says there was of one: whoever ends a run in place of its worker does not know.
async fn answer(run: &RunRecord, stored: &StoredResult, log: &dyn Log) -> Result<Answer, Problem> {
    match &stored.result.answer {
        Some(answer) => serde_json::from_str(answer).map_err(|error| Problem::internal(&error)),
        None if run.attempts > 0 && run.status != Status::Succeeded => fold(run.id, log).await,
        None => Ok(Answer::default()),
    }
}

async fn fold(run: RunId, log: &dyn Log) -> Result<Answer, Problem> {
    let mut transcript = Transcript::default();
    loop {
        let after = transcript.last().unwrap_or(Cursor::START);
        let page = log.entries(run, after, PAGE).await?;
        for entry in &page {
            transcript
                .apply(entry)
                .map_err(|error| Problem::internal(&error))?;
        }
        if !is_full_page(&page, PAGE) {
            return Ok(transcript.answer());
        }
    }
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
