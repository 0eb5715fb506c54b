//! What was measured, for Prometheus. The queue's figures are read from the ledger at each scrape; while it is away
//! they are absent, and `mcp_ledger_up` says why.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use shared::ledger::Ledger;
use shared::telemetry::MetricsHandle;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::authority::Admin;
use crate::figures::{Figures, gauge};

/// Scrapers wait ten seconds by default; they get the process's own figures well before.
const FIGURES_WITHIN: Duration = Duration::from_secs(3);

/// The scrape.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Metrics for Prometheus
///
/// Counters and histograms of this process, and gauges of the whole queue. Where API keys are set it takes an
/// admin's: in Prometheus, `authorization: { credentials: KEY }`.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = OK, description = "The text format 0.0.4.", body = String, content_type = "text/plain")),
)]
async fn metrics(
    _: Admin,
    State(ledger): State<Ledger>,
    State(handle): State<Option<MetricsHandle>>,
) -> impl IntoResponse {
    let mut text = handle.map(|handle| handle.render()).unwrap_or_default();
    let figures = tokio::time::timeout(FIGURES_WITHIN, Figures::read(&ledger.reader)).await;
    let figures = figures.ok().and_then(Result::ok);
    gauge(
        &mut text,
        "mcp_ledger_up",
        "Whether the ledger answers",
        [(String::new(), u8::from(figures.is_some()))],
    );
    text.push_str(&figures.map(|figures| figures.to_prometheus()).unwrap_or_default());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
