//! `POST /mcp/v1/request`: work comes in.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use metrics::counter;
use serde::Deserialize;
use shared::domain::{Cursor, RunId};
use shared::ledger::{Ledger, RunRecord};
use shared::telemetry::vocabulary;
use shared::watch::{Watch, WatchError, Watcher};

use super::representation::Representation;
use super::run_body::{self, RunBody};
use super::submit_body::SubmitBody;
use super::{outcome, sse};
use crate::admission::Origin;
use crate::app::AppState;
use crate::authority::Authority;
use crate::body::{ValidJson, ValidQuery};
use crate::drain::Drain;
use crate::idempotency_key::IdempotencyKey;
use crate::intake::{Intake, Submitted};
use crate::problem::{Code, Problem, ProblemBody};
use crate::request_id::Trace;

const MAX_WAIT_SECONDS: f64 = 300.0;
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// How the answer comes.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SubmitQuery {
    /// Hold the answer for up to so many seconds, until the run has ended.
    #[param(minimum = 0, maximum = 300, example = 30)]
    wait: Option<f64>,
}

/// What the client wants to hear, and when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    /// That the run is in the ledger.
    AtOnce,
    /// How it ended, if that is before so long.
    OnceEnded(Duration),
    /// Its log, as it is written.
    Log,
}

impl Wish {
    const fn watches(self) -> bool {
        !matches!(self, Self::AtOnce)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wish {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ValidQuery(query) = ValidQuery::<SubmitQuery>::from_request_parts(parts, state).await?;
        let patience = query
            .wait
            .filter(|seconds| (0.0..=MAX_WAIT_SECONDS).contains(seconds));
        if query.wait.is_some() && patience.is_none() {
            let detail = format!("must be from 0 to {MAX_WAIT_SECONDS} seconds");
            return Err(Problem::new(Code::InvalidQuery).detail(detail).field("wait"));
        }
        let form = Representation::wanted(&parts.headers, Representation::Json);
        Ok(match (form, patience) {
            (Representation::EventStream, _) => Self::Log,
            (Representation::Json, Some(seconds)) => Self::OnceEnded(Duration::from_secs_f64(seconds)),
            (Representation::Json, None) => Self::AtOnce,
        })
    }
}

/// Submit a run
///
/// The answer is sent once the run is committed: from then on it reaches its end, whatever dies. By default it is 202
/// with the run. With `?wait=SECONDS` the answer is held until the run has ended, and is then its result. With
/// `Accept: text/event-stream` the run's log follows on the same connection, as from `…/events`.
///
/// With an `Idempotency-Key` a repeated submit is the same run, for as long as the run is kept; it is answered with
/// `Idempotent-Replayed: true`.
#[utoipa::path(
    post,
    path = "/mcp/v1/request",
    tag = "runs",
    params(
        SubmitQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters of your \
            choice; unique for each piece of work, the same when it is sent again."),
    ),
    request_body = SubmitBody,
    responses(
        (status = ACCEPTED, description = "The run is in the ledger.", body = RunBody, headers(
            ("Location" = String, description = "The run."),
            ("Idempotent-Replayed" = String, description = "`true` when an earlier request made this run."),
            ("Retry-After" = u64, description = "When the answer was held in vain: seconds until it makes sense to ask."),
        )),
        (status = OK, description = "The run has ended while the answer was held, or its log follows.", content(
            (super::result_body::ResultBody = "application/json"),
            (String = "text/event-stream"),
        ), headers(("Location" = String, description = "The run."))),
        (status = BAD_REQUEST, description = "`invalid_json`, `invalid_query`, `invalid_idempotency_key`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = REQUEST_TIMEOUT, description = "`body_timeout`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = PAYLOAD_TOO_LARGE, description = "`body_too_large`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "`unsupported_media_type`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, description = "`invalid_field`, `unknown_field`, `empty_prompt`, \
            `nul_character`, `feature_not_available`, `continue_not_supported`, `unknown_provider`, `reserved_param`, \
            `idempotency_key_reused`, `not_storable`.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = TOO_MANY_REQUESTS, description = "`tenant_queue_full`, `queue_full`.",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn submit(
    authority: Authority,
    wish: Wish,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Trace(trace): Trace,
    State(intake): State<Intake>,
    State(answering): State<Answering>,
    ValidJson(body, held): ValidJson<SubmitBody>,
) -> Result<Response, Problem> {
    let origin = Origin {
        tenant: authority.tenant,
        idempotency_key,
        trace,
    };
    let submitted = intake
        .submit(body.into_request()?, origin, held, wish.watches())
        .await?;
    Ok(answering.answer(submitted, wish).await)
}

/// Counts what is answered with a problem, wherever on the way in it was refused.
pub(super) async fn count_refusals(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(problem) = response.extensions().get::<Problem>() {
        counter!(vocabulary::REFUSED_COUNT, "code" => problem.code().as_str()).increment(1);
    }
    response
}

/// What it takes to answer for a run that is in the ledger. From here on nothing is a problem any more: whatever the
/// client would otherwise be told, it must not believe that its run was refused.
#[derive(Clone)]
pub(super) struct Answering {
    watch: Watch,
    ledger: Ledger,
    drain: Drain,
}

impl FromRef<AppState> for Answering {
    fn from_ref(state: &AppState) -> Self {
        Self {
            watch: Watch::from_ref(state),
            ledger: Ledger::from_ref(state),
            drain: Drain::from_ref(state),
        }
    }
}

impl Answering {
    async fn answer(self, submitted: Submitted, wish: Wish) -> Response {
        let Submitted {
            run,
            replayed,
            watcher,
        } = submitted;
        let location = HeaderValue::try_from(run_body::path(run.id));
        let mut response = match wish {
            Wish::Log => self.log(run, watcher).await,
            Wish::OnceEnded(patience) => self.once_ended(run, watcher, patience).await,
            Wish::AtOnce => accepted(run),
        };
        if let Ok(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if replayed {
            response
                .headers_mut()
                .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    /// The run's log from its beginning, also where nothing was made ready for a new run.
    async fn watcher(&self, run: RunId, ready: Option<Watcher>) -> Result<Watcher, WatchError> {
        match ready {
            Some(watcher) => Ok(watcher),
            None => self.watch.open(run, Cursor::START).await,
        }
    }

    async fn log(self, run: RunRecord, watcher: Option<Watcher>) -> Response {
        match self.watcher(run.id, watcher).await {
            Ok(watcher) => sse::sse_response(watcher, self.drain),
            Err(error) => {
                tracing::warn!(run = %run.id, %error, "accepted, but cannot be watched");
                accepted(run)
            }
        }
    }

    async fn once_ended(self, run: RunRecord, watcher: Option<Watcher>, patience: Duration) -> Response {
        match self.wait(run.id, watcher, patience).await {
            Ok(response) => response,
            Err(problem) => {
                tracing::warn!(run = %run.id, code = problem.code().as_str(), "accepted, but cannot be read");
                outcome::pending(run)
            }
        }
    }

    async fn wait(
        self,
        run: RunId,
        watcher: Option<Watcher>,
        patience: Duration,
    ) -> Result<Response, Problem> {
        let watcher = self.watcher(run, watcher).await?;
        outcome::ended(watcher, patience, &self.drain).await;
        let run = self
            .ledger
            .reader
            .run(run)
            .await?
            .ok_or_else(Problem::run_not_found)?;
        outcome::render(run, &self.ledger).await
    }
}

fn accepted(run: RunRecord) -> Response {
    (StatusCode::ACCEPTED, Json(RunBody::of(run, shared::clock::now()))).into_response()
}
