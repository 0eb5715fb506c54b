//! The native surface: runs as they are, under `/mcp/v1`.

use axum::middleware;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::app::AppState;

mod admin_metrics;
mod admin_providers;
mod cancel;
mod conversation;
mod event_page;
mod events;
mod get_result;
mod get_run;
mod list_runs;
mod outcome;
mod owned;
mod position;
mod representation;
mod result_body;
mod run_body;
mod sse;
mod stream;
mod submit;
mod submit_body;
mod watching;

/// The operations of this surface.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(
            routes!(submit::submit).map(|submit| submit.layer(middleware::from_fn(submit::count_refusals))),
        )
        .routes(routes!(get_run::get_run))
        .routes(routes!(get_result::get_result))
        .routes(routes!(list_runs::list_runs))
        .routes(routes!(cancel::cancel))
        .routes(routes!(events::events))
        .routes(routes!(stream::stream))
        .routes(routes!(admin_metrics::admin_metrics))
        .routes(routes!(admin_providers::admin_providers))
}
