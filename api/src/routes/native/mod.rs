//! The native surface: runs as they are, under `/mcp/v1`.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;

mod admin_metrics;
mod cancel;
mod events;
mod get_result;
mod get_run;
mod list_runs;
mod owned;
mod result_body;
mod run_body;
mod sse;
mod stream;
mod submit;
mod submit_body;

/// The operations of this surface.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(submit::submit))
        .routes(routes!(get_run::get_run))
        .routes(routes!(get_result::get_result))
        .routes(routes!(list_runs::list_runs))
        .routes(routes!(cancel::cancel))
        .routes(routes!(events::events))
        .routes(routes!(stream::stream))
        .routes(routes!(admin_metrics::admin_metrics))
}
