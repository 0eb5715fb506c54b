//! `GET /mcp/v1/request/{id}/events`: a run's log, live as server-sent events or a page of it as JSON.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::domain::{Cursor, RunId};
use shared::ledger::Ledger;
use shared::watch::Watch;

use super::event_page::EventPage;
use super::owned::Owned;
use super::position;
use super::representation::Representation;
use super::sse::{sse_response, sse_response_from};
use crate::body::ValidQuery;
use crate::drain::Drain;
use crate::problem::{Code, Problem};

const MAX_LIMIT: u32 = 1_000;

/// Which part of the log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Only what follows this cursor, which an earlier event carried.
    #[param(example = "1-7")]
    after: Option<String>,
    /// At most so many events in a JSON page; a live stream has no limit.
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u32>,
}

impl EventsQuery {
    fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.unwrap_or(MAX_LIMIT);
        if (1..=MAX_LIMIT).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::new(Code::InvalidQuery)
            .detail(format!("must be from 1 to {MAX_LIMIT}"))
            .field("limit"))
    }
}

/// A run's log, live or a page of it
///
/// With `Accept: text/event-stream` (or without a preference) the answer is a stream of server-sent events: the
/// history first, then what happens, up to the run's last event. Each has its cursor as `id`, its type as `event`, and
/// the entry as one line of JSON as `data`. A comment comes after 15 seconds of silence. When the server shuts down
/// the stream ends early: come back with `Last-Event-ID`, here or at another server. A stream asked for after the
/// run's last event is answered 204, which tells an `EventSource` to stop coming back.
///
/// With `Accept: application/json` (or with `limit` and without a preference) the answer is one page.
#[utoipa::path(
    get,
    path = "/mcp/v1/request/{id}/events",
    tag = "runs",
    params(
        ("id" = String, Path, description = "The run.", example = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1"),
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`, and wins over it: what an `EventSource` \
            sends by itself when it comes back."),
        EventsQuery,
    ),
    responses(
        (status = OK, description = "The log.", content(
            (EventPage = "application/json"),
            (String = "text/event-stream", example = "id: 1-2\nevent: output.delta\ndata: {\"cursor\":\"1-2\",\
                \"type\":\"output.delta\",\"at\":\"2026-01-01T12:00:00.000Z\",\"data\":{\"text\":\"Hello\"}}\n\n"),
        )),
        (status = NO_CONTENT, description = "A stream was asked for, and nothing can follow this cursor."),
        (status = BAD_REQUEST, description = "`invalid_id`, `invalid_query`, `invalid_cursor`, `unknown_cursor`.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "`run_not_found`.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn events(
    Owned { run, .. }: Owned,
    ValidQuery(query): ValidQuery<EventsQuery>,
    State(ledger): State<Ledger>,
    State(watch): State<Watch>,
    State(drain): State<Drain>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = position::of_request(query.after.as_deref(), &headers)?;
    let limit = query.limit()?;
    let default = if query.limit.is_some() {
        Representation::Json
    } else {
        Representation::EventStream
    };
    match Representation::wanted(&headers, default) {
        Representation::Json => {
            Ok(Json(EventPage::read(&*ledger.log, run.id, after, limit).await?).into_response())
        }
        Representation::EventStream => live(&watch, run.id, after, run.status.is_terminal(), drain).await,
    }
}

async fn live(
    watch: &Watch,
    run: RunId,
    after: Cursor,
    ended: bool,
    drain: Drain,
) -> Result<Response, Problem> {
    let mut watcher = watch.open(run, after).await?;
    if !ended {
        return Ok(sse_response(watcher, drain));
    }
    // The log is complete, so this does not wait for the run.
    Ok(match watcher.next().await {
        Some(first) => sse_response_from(first, watcher, drain),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
