//! `GET /mcp/v1/admin/metrics`: the queue, the workers, and how many of them the load asks for.

use axum::Json;
use axum::extract::State;
use shared::ledger::Ledger;

use crate::authority::Admin;
use crate::figures::Figures;
use crate::problem::Problem;

/// The queue and the workers, and how many workers the load asks for
#[utoipa::path(
    get,
    path = "/mcp/v1/admin/metrics",
    tag = "admin",
    responses((status = OK, description = "As they are now.", body = Figures)),
)]
pub(super) async fn admin_metrics(_: Admin, State(ledger): State<Ledger>) -> Result<Json<Figures>, Problem> {
    Ok(Json(Figures::read(&ledger.reader).await?))
}
