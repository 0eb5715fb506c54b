//! `GET /mcp/v1/request/{id}/result`: how a run ended, once it has.

use axum::extract::State;
use axum::response::Response;
use shared::ledger::Ledger;

use super::outcome;
use super::owned::Owned;
use super::result_body::ResultBody;
use super::run_body::RunBody;
use crate::problem::{Problem, ProblemBody};

/// How a run ended
///
/// The answer with its usage and cost, or why there is none. While the run has not ended: 202 with the run as it is
/// and `Retry-After`.
#[utoipa::path(
    get,
    path = "/mcp/v1/request/{id}/result",
    tag = "runs",
    params(("id" = String, Path, description = "The run.", example = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")),
    responses(
        (status = OK, description = "The run has ended: with an answer, without one, or cancelled.", body = ResultBody),
        (status = ACCEPTED, description = "It has not ended yet.", body = RunBody,
            headers(("Retry-After" = u64, description = "Seconds until it makes sense to ask again."))),
        (status = BAD_REQUEST, description = "`invalid_id`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "`run_not_found`.",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_result(
    Owned { run, .. }: Owned,
    State(ledger): State<Ledger>,
) -> Result<Response, Problem> {
    outcome::render(run, &ledger).await
}
