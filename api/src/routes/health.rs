//! Whether this process lives, and whether it can work: for orchestrators and load balancers, so open to everybody.
//! Liveness does no I/O: a process must not be restarted because its database is away.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use shared::ledger::{Ledger, LedgerError};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::drain::Drain;

/// A ledger that needs longer than this to answer `select 1` counts as away.
const PING_WITHIN: Duration = Duration::from_secs(1);

/// The probes.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(healthz))
        .routes(routes!(ready))
        .routes(routes!(readyz))
}

/// What a probe is told.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok` or `unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
    /// Why it is unavailable: `draining`, `ledger_unavailable`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<String>>)]
    reasons: Vec<&'static str>,
}

impl Health {
    const OK: Self = Self {
        status: "ok",
        reasons: Vec::new(),
    };
}

/// Is the process alive?
///
/// Says yes without asking anybody else.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    security(()),
    responses((status = OK, description = "It is.", body = Health)),
)]
async fn health() -> Json<Health> {
    Json(Health::OK)
}

/// Is the process alive? (the name Kubernetes likes)
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    security(()),
    responses((status = OK, description = "It is.", body = Health)),
)]
async fn healthz() -> Json<Health> {
    Json(Health::OK)
}

/// Can the process work?
///
/// Not while it drains, and not while the ledger is away.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    security(()),
    responses(
        (status = OK, description = "It can.", body = Health),
        (status = SERVICE_UNAVAILABLE, description = "It cannot, for these reasons.", body = Health),
    ),
)]
async fn ready(State(ledger): State<Ledger>, State(drain): State<Drain>) -> (StatusCode, Json<Health>) {
    readiness(&ledger, &drain).await
}

/// Can the process work? (the name Kubernetes likes)
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    security(()),
    responses(
        (status = OK, description = "It can.", body = Health),
        (status = SERVICE_UNAVAILABLE, description = "It cannot, for these reasons.", body = Health),
    ),
)]
async fn readyz(State(ledger): State<Ledger>, State(drain): State<Drain>) -> (StatusCode, Json<Health>) {
    readiness(&ledger, &drain).await
}

async fn readiness(ledger: &Ledger, drain: &Drain) -> (StatusCode, Json<Health>) {
    let silent = || Err(LedgerError::Unavailable("no answer in time".to_owned()));
    let ping = tokio::time::timeout(PING_WITHIN, ledger.reader.ping())
        .await
        .unwrap_or_else(|_| silent());
    let mut reasons = Vec::new();
    if drain.is_draining() {
        reasons.push("draining");
    }
    if let Err(error) = ping {
        tracing::warn!(%error, "not ready");
        reasons.push("ledger_unavailable");
    }
    if reasons.is_empty() {
        (StatusCode::OK, Json(Health::OK))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(Health {
                status: "unavailable",
                reasons,
            }),
        )
    }
}
