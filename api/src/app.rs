//! The API put together: what it needs from outside, the slices of it that handlers take, and the router.

use std::sync::Arc;

use axum::extract::FromRef;
use axum::middleware;
use shared::config::ApiConfig;
use shared::dispatch::Offer;
use shared::feed::Feed;
use shared::ledger::Ledger;
use shared::telemetry::MetricsHandle;
use shared::watch::Watch;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use crate::acceptor::Acceptor;
use crate::admission::{Admission, ProviderFacts};
use crate::authority::Gate;
use crate::body::BodyBudget;
use crate::cancellation::Canceller;
use crate::drain::Drain;
use crate::guard::{self, Guard};
use crate::intake::Intake;
use crate::problem::{self, Code, Problem};
use crate::{openapi, request_id, routes};

/// What the API is built from.
#[derive(Clone)]
pub struct ApiParts {
    /// The ledger.
    pub ledger: Ledger,
    /// Where hints of accepted runs go.
    pub offer: Arc<dyn Offer>,
    /// Where watchers hear of commits.
    pub feed: Feed,
    /// The API's section of the configuration.
    pub config: ApiConfig,
    /// What is known of the providers that will answer.
    pub providers: ProviderFacts,
    /// What this process measures; without it `/metrics` has the figures of the queue alone.
    pub metrics: Option<MetricsHandle>,
    /// Takes the API down.
    pub drain: Drain,
}

/// Everything handlers take slices of. None of them takes the whole. It is cloned several times per request, on its way
/// through the layers: one reference counts for all.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Slices>);

struct Slices {
    ledger: Ledger,
    watch: Watch,
    canceller: Canceller,
    admission: Arc<Admission>,
    intake: Intake,
    budget: BodyBudget,
    gate: Gate,
    guard: Guard,
    metrics: Option<MetricsHandle>,
    drain: Drain,
    tracker: TaskTracker,
}

macro_rules! slices {
    ($( $field:ident: $slice:ty, )*) => {
        $(
            impl FromRef<AppState> for $slice {
                fn from_ref(state: &AppState) -> Self {
                    state.0.$field.clone()
                }
            }
        )*
    };
}

slices! {
    ledger: Ledger,
    watch: Watch,
    canceller: Canceller,
    admission: Arc<Admission>,
    intake: Intake,
    budget: BodyBudget,
    gate: Gate,
    metrics: Option<MetricsHandle>,
    drain: Drain,
    tracker: TaskTracker,
}

impl AppState {
    /// Puts the parts together. What has to run beside the requests is spawned on `tracker` and ends once the state
    /// and all its clones are gone.
    pub(crate) fn new(parts: ApiParts, tracker: TaskTracker) -> Self {
        let ApiParts {
            ledger,
            offer,
            feed,
            config,
            providers,
            metrics,
            drain,
        } = parts;
        let admission = Admission::new(
            config.hash_key,
            config.depth,
            providers,
            ledger.reader.clone(),
            &tracker,
        );
        let admission = Arc::new(admission);
        let acceptor = Acceptor::spawn(Arc::clone(&ledger.submit), Arc::clone(&offer), &tracker);
        let watch = Watch::new(Arc::clone(&ledger.log), feed.subscribe);
        Self(Arc::new(Slices {
            intake: Intake::new(
                Arc::clone(&admission),
                acceptor,
                ledger.reader.clone(),
                watch.clone(),
                drain.clone(),
            ),
            watch,
            canceller: Canceller::new(Arc::clone(&ledger.submit), offer, feed.publish),
            budget: BodyBudget::new(config.max_body_bytes),
            gate: Gate::new(&config.keys),
            guard: Guard::new(config.pressure),
            admission,
            ledger,
            metrics,
            drain,
            tracker,
        }))
    }
}

/// Every path of the API over this state.
pub(crate) fn router(state: AppState) -> axum::Router {
    let (router, _) = routes::router().split_for_parts();
    let guarded = middleware::from_fn_with_state(state.0.guard.clone(), guard::admit);
    router
        .merge(routes::docs::router(openapi::openapi_json()))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
        .layer(guarded)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(problem::render))
        .layer(middleware::from_fn(request_id::identify))
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound).detail("see /docs for what there is")
}

async fn wrong_method() -> Problem {
    Problem::new(Code::MethodNotAllowed)
}

/// What a panic says may hold content; where it happened is in the log already.
fn panicked(_panic: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    axum::response::IntoResponse::into_response(Problem::internal("a handler panicked"))
}
