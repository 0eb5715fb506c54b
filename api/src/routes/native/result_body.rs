//! How a run ended, as the native surface shows it.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::domain::{Answer, FailureCode, RunId, Status, Timestamp, Usd};
use shared::ledger::{Failure, RunRecord, StoredResult};
use utoipa::ToSchema;

use crate::problem::Problem;

/// The end of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResultBody {
    /// The run.
    #[schema(value_type = String, example = "run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")]
    request_id: RunId,
    /// `succeeded`, `failed` or `cancelled`.
    #[schema(value_type = String, example = "succeeded")]
    status: Status,
    /// The answer; what there was of it when the run did not succeed.
    text: String,
    /// Everything else of the answer: tool calls, reasoning, fields of the provider's own.
    #[schema(value_type = Object)]
    message: Map<String, Value>,
    /// What the provider said beside the answer: its id of the call, the exact model, fields of its own.
    #[schema(value_type = Object)]
    provider_metadata: Map<String, Value>,
    /// Why the model stopped, in the provider's words.
    #[schema(example = "stop")]
    finish_reason: Option<String>,
    /// Who answered.
    provider: Option<String>,
    /// The model that answered.
    model: Option<String>,
    /// What the provider says it used.
    #[schema(value_type = Option<Object>)]
    usage: Option<Box<RawValue>>,
    /// US dollars; null when the price is not known.
    #[schema(value_type = Option<f64>)]
    cost_usd: Option<Usd>,
    /// Calls of providers that the run took, those included that failed. What each came to is in the log.
    calls: usize,
    /// Why it failed.
    error: Option<FailureBody>,
    /// Whether the answer is the simulator's.
    simulated: bool,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    finished_at: Timestamp,
}

/// Why a run failed.
#[derive(Debug, Serialize, ToSchema)]
struct FailureBody {
    /// For machines; stable.
    #[schema(value_type = String, example = "provider_timeout")]
    code: FailureCode,
    /// For people.
    message: String,
    /// Whether submitting it again may succeed.
    retryable: bool,
}

impl From<Failure> for FailureBody {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            message: failure.message,
            retryable: failure.retryable,
        }
    }
}

impl ResultBody {
    /// The stored end of a run, with its answer.
    ///
    /// # Errors
    /// When the ledger holds something that is not a report of usage.
    pub(super) fn of(
        run: &RunRecord,
        stored: StoredResult,
        answer: Answer,
        calls: usize,
    ) -> Result<Self, Problem> {
        let StoredResult { result, finished_at } = stored;
        let usage = result
            .usage
            .map(RawValue::from_string)
            .transpose()
            .map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            request_id: run.id,
            status: result.status,
            text: answer.text,
            message: answer.message,
            provider_metadata: answer.provider_metadata,
            finish_reason: result.finish_reason,
            provider: result.provider,
            model: result.model,
            usage,
            cost_usd: result.cost,
            calls,
            error: result.failure.map(FailureBody::from),
            simulated: run.simulated,
            finished_at,
        })
    }
}
