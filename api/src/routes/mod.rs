//! Every path, one file per operation. A handler parses, calls one function, and renders.

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub(crate) mod docs;
mod health;
mod metrics;
mod native;

/// Every operation with its description, without the documentation pages.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(native::router())
        .merge(health::router())
        .merge(metrics::router())
}
