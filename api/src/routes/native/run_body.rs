//! A run as the native surface shows it: everything but its content.

use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::{Class, Interruption, Kind, RunId, Status, Timestamp, Usd};
use shared::ledger::RunRecord;
use utoipa::ToSchema;

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunBody {
    /// The run.
    #[schema(value_type = String, example = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")]
    request_id: RunId,
    /// What it is made of.
    #[schema(value_type = String, example = "chat")]
    kind: Kind,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`; the last three are final.
    #[schema(value_type = String, example = "queued")]
    status: Status,
    /// `interactive`, `standard` or `batch`.
    #[schema(value_type = String, example = "standard")]
    class: Class,
    /// 0 to 100, as it was given.
    #[schema(maximum = 100, example = 50)]
    priority: u8,
    /// What it is for.
    #[schema(example = "chat")]
    task_type: String,
    /// The model asked for.
    #[schema(example = "auto")]
    model: String,
    /// Who is accounted.
    #[schema(example = "local")]
    tenant: String,
    /// Keyed hash of the user it was submitted for.
    user_hash: Option<String>,
    /// Times a worker took it up.
    attempts: u32,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When a worker last took it up.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// It waits until then before it is tried again; only there while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    not_before: Option<Timestamp>,
    /// It fails when it has not ended by then.
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline_at: Option<Timestamp>,
    /// When somebody asked to cancel it.
    #[schema(value_type = Option<String>, format = DateTime)]
    cancel_requested_at: Option<Timestamp>,
    /// What happens when its answer breaks off: `restart`, `continue` or `fail`.
    #[schema(value_type = String, example = "restart")]
    on_interruption: Interruption,
    /// US dollars; null when the price is not known.
    #[schema(value_type = Option<f64>)]
    estimated_cost_usd: Option<Usd>,
    /// What it is expected to take.
    estimated_tokens: TokensBody,
    /// Your own notes.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    /// Whether the answer is the simulator's.
    simulated: bool,
    /// Where to go from here.
    links: LinksBody,
}

/// Numbers of tokens.
#[derive(Debug, Serialize, ToSchema)]
struct TokensBody {
    /// Of the prompt.
    input: u32,
    /// To be generated, at most.
    output: u32,
}

/// Paths of a run.
#[derive(Debug, Serialize, ToSchema)]
struct LinksBody {
    /// The run itself.
    #[serde(rename = "self")]
    this: String,
    /// How it ended.
    result: String,
    /// Its log, as server-sent events or pages.
    events: String,
    /// Its log on a WebSocket.
    stream: String,
    /// Cancels it, by POST.
    cancel: String,
}

impl RunBody {
    /// A run as it is at the moment `now`.
    pub(super) fn of(run: RunRecord, now: Timestamp) -> Self {
        let waits = run.status == Status::Queued && run.not_before > now;
        Self {
            request_id: run.id,
            kind: run.kind,
            status: run.status,
            class: run.class,
            priority: run.priority.get(),
            task_type: run.task_type,
            model: run.model,
            tenant: run.tenant.to_string(),
            user_hash: run.user.map(|user| user.as_str().to_owned()),
            attempts: run.attempts,
            created_at: run.created_at,
            started_at: run.claimed_at,
            finished_at: run.finished_at,
            not_before: waits.then_some(run.not_before),
            deadline_at: run.deadline_at,
            cancel_requested_at: run.cancel_at,
            on_interruption: run.on_interruption,
            estimated_cost_usd: run.estimate.cost_usd,
            estimated_tokens: TokensBody {
                input: run.estimate.input_tokens,
                output: run.estimate.output_tokens,
            },
            // It was an object when it was accepted; a ledger that says otherwise has nothing to show.
            metadata: run.metadata.and_then(|text| RawValue::from_string(text).ok()),
            simulated: run.simulated,
            links: LinksBody::of(run.id),
        }
    }
}

impl LinksBody {
    fn of(run: RunId) -> Self {
        let this = path(run);
        Self {
            result: format!("{this}/result"),
            events: format!("{this}/events"),
            stream: format!("/mcp/v1/stream/{run}"),
            cancel: format!("/mcp/v1/cancel/{run}"),
            this,
        }
    }
}

/// Where a run is found.
pub(super) fn path(run: RunId) -> String {
    format!("/mcp/v1/request/{run}")
}
