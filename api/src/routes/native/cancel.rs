//! `POST /mcp/v1/cancel/{id}`: a run is no longer wanted.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use shared::domain::Status;
use shared::ledger::{CancelOutcome, Ledger};

use super::owned::Owned;
use super::run_body::RunBody;
use crate::cancellation::Canceller;
use crate::problem::{Problem, ProblemBody};

/// Cancel a run
///
/// A queued run is cancelled at once. A running one is asked to stop, which takes up to about a second; its log says
/// when it has. May be repeated. A run that has ended otherwise stays as it is.
#[utoipa::path(
    post,
    path = "/mcp/v1/cancel/{id}",
    tag = "runs",
    params(("id" = String, Path, description = "The run.", example = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")),
    responses(
        (status = OK, description = "The run is cancelled.", body = RunBody),
        (status = ACCEPTED, description = "Its worker was asked to stop.", body = RunBody),
        (status = BAD_REQUEST, description = "`invalid_id`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "`run_not_found`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = CONFLICT, description = "`already_finished`: the run has ended otherwise, as `run_status` says.",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    Owned { run, authority }: Owned,
    State(canceller): State<Canceller>,
    State(ledger): State<Ledger>,
) -> Result<Response, Problem> {
    let status = match canceller.cancel(run.id, authority.role(&run)).await? {
        CancelOutcome::Cancelled(_) | CancelOutcome::Ended(Status::Cancelled) => StatusCode::OK,
        CancelOutcome::Requested => StatusCode::ACCEPTED,
        CancelOutcome::Ended(status) => return Err(Problem::already_finished(status)),
        CancelOutcome::Unknown => return Err(Problem::run_not_found()),
    };
    let run = ledger
        .reader
        .run(run.id)
        .await?
        .ok_or_else(Problem::run_not_found)?;
    Ok((status, Json(RunBody::of(run, shared::clock::now()))).into_response())
}
