//! `GET /mcp/v1/request/{id}`: a run as it is now.

use axum::Json;

use super::owned::Owned;
use super::run_body::RunBody;
use crate::problem::ProblemBody;

/// A run
///
/// Everything but its content: where it is, what it is expected to take, and where its log and its result are.
#[utoipa::path(
    get,
    path = "/mcp/v1/request/{id}",
    tag = "runs",
    params(("id" = String, Path, description = "The run.", example = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")),
    responses(
        (status = OK, description = "The run.", body = RunBody),
        (status = BAD_REQUEST, description = "`invalid_id`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "`run_not_found`.",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_run(Owned { run, .. }: Owned) -> Json<RunBody> {
    Json(RunBody::of(run, shared::clock::now()))
}
