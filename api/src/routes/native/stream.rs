//! `WS /mcp/v1/stream/{id}`: a run's log on a WebSocket. This opens the conversation or says why there is none; how it
//! goes is said in `conversation`.
//!
//! Who may not come in is told so before the upgrade. Everything else is told by a close code, because that is all a
//! browser lets a page see.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use serde::Deserialize;
use shared::ledger::LedgerError;
use shared::watch::{Watch, WatchError, Watcher};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::conversation::{Ending, Patience, converse, refuse};
use super::owned::Owned;
use super::position;
use super::watching::Presence;
use crate::authority::SUBPROTOCOL;
use crate::body::ValidQuery;
use crate::cancellation::Canceller;
use crate::drain::Drain;
use crate::problem::{Code, Problem};

/// The largest message a client may send: all it can say is one short word.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// Frames are collected up to this much before they go out, while there are more at hand.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Where to begin.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Only what follows this cursor, which an earlier event carried.
    #[param(example = "1-7")]
    after: Option<String>,
}

/// A run's log on a WebSocket
///
/// One event per text frame, as JSON: `{"cursor": …, "type": …, "at": …, "data": …}` - the history first, then what
/// happens. The client may send `{"type":"cancel"}`. The server pings every 15 seconds and takes a client that does
/// not answer for gone. After a broken connection come back with `?after=` and the latest cursor, here or at another
/// server.
///
/// Browsers cannot set headers on a WebSocket; they send the API key as a subprotocol:
/// `new WebSocket(url, ["mcp.v1", "bearer.KEY"])`.
///
/// | close code | means |
/// |---|---|
/// | 1000 | the run has ended, and its last event was sent |
/// | 1013 | come back with your cursor: this server shuts down, cannot reach its ledger, or was not read from for 30 seconds |
/// | 4400 | the cursor has not the form of a cursor, or the client sent something that is not a message of this protocol |
/// | 4404 | there is no such run, or it is somebody else's |
/// | 4409 | the log of this run has no such cursor |
#[utoipa::path(
    get,
    path = "/mcp/v1/stream/{id}",
    tag = "runs",
    params(
        ("id" = String, Path, description = "The run.", example = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1"),
        StreamQuery,
    ),
    responses(
        (status = SWITCHING_PROTOCOLS, description = "The WebSocket is open."),
        (status = BAD_REQUEST, description = "`invalid_query`.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = UPGRADE_REQUIRED, description = "`upgrade_required`: this path speaks WebSocket.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn stream(
    owned: Result<Owned, Problem>,
    ValidQuery(query): ValidQuery<StreamQuery>,
    State(watch): State<Watch>,
    State(canceller): State<Canceller>,
    State(drain): State<Drain>,
    State(tracker): State<TaskTracker>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let owned = match owned {
        Ok(owned) => Ok(owned),
        Err(problem) => Err(told_by_close_code(problem)?),
    };
    let upgrade =
        upgrade.map_err(|rejection| Problem::new(Code::UpgradeRequired).detail(rejection.body_text()))?;
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES);
    let present = (Presence::new("websocket"), tracker.token());
    let conversation = async move |socket| {
        let _present = present;
        match begin(&watch, owned, query.after.as_deref()).await {
            Ok((owned, watcher)) => {
                let cancel = async || cancel(&canceller, &owned).await;
                converse(socket, watcher, &drain, Patience::default(), cancel).await;
            }
            Err(ending) => refuse(socket, ending).await,
        }
    };
    let span = tracing::Span::current();
    Ok(upgrade.on_upgrade(|socket| conversation(socket).instrument(span)))
}

/// A run that cannot be watched is told to the client by a close code; who may not come in at all, by the problem.
fn told_by_close_code(problem: Problem) -> Result<Ending, Problem> {
    match problem.code() {
        Code::RunNotFound | Code::InvalidId => Ok(Ending::UnknownRun),
        Code::LedgerUnavailable => Ok(Ending::LedgerAway),
        _ => Err(problem),
    }
}

async fn begin(
    watch: &Watch,
    owned: Result<Owned, Ending>,
    after: Option<&str>,
) -> Result<(Owned, Watcher), Ending> {
    let owned = owned?;
    let after = position::parse(after).map_err(|_| Ending::BadCursor)?;
    let watcher = watch
        .open(owned.run.id, after)
        .await
        .map_err(|error| match error {
            WatchError::UnknownCursor(_) => Ending::UnknownCursor,
            WatchError::Ledger(error) => ledger_away(&error),
        })?;
    Ok((owned, watcher))
}

/// What becomes of the run is told by its log; that it had ended already is no mistake here, because its last event is
/// on the way.
async fn cancel(canceller: &Canceller, owned: &Owned) -> Result<(), Ending> {
    let by = owned.authority.role(&owned.run);
    canceller
        .cancel(owned.run.id, by)
        .await
        .map(drop)
        .map_err(|error| ledger_away(&error))
}

fn ledger_away(error: &LedgerError) -> Ending {
    tracing::warn!(%error, "a WebSocket client is sent away");
    Ending::LedgerAway
}
