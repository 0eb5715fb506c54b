//! `GET /mcp/v1/admin/providers`: who can be called, and what the workers see of them.

use axum::Json;
use axum::extract::State;
use shared::ledger::Ledger;

use crate::authority::Admin;
use crate::fleet::FleetView;
use crate::problem::Problem;

/// The providers that workers can call, with their figures and breakers
///
/// As the workers last reported them, a few seconds ago at most: each by itself, and all together.
#[utoipa::path(
    get,
    path = "/mcp/v1/admin/providers",
    tag = "admin",
    responses((status = OK, description = "As the workers last saw them.", body = FleetView)),
)]
pub(super) async fn admin_providers(
    _: Admin,
    State(ledger): State<Ledger>,
) -> Result<Json<FleetView>, Problem> {
    Ok(Json(FleetView::read(&ledger.reader).await?))
}
