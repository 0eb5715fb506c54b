//! The JSON shapes of the native API, as far as this program reads them. Unknown fields are let pass: `-o json` prints
//! what the server sent, not what is understood here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use shared::domain::{BreakerState, RunId, Status, Timestamp};

/// The body of a submit. What is not given is not sent: the defaults are the server's.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct NewRun {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) messages: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider_hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    /// Milliseconds from acceptance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_ms: Option<u64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_interruption: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) params: Map<String, Value>,
}

/// The query of a list.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ListQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) all_tenants: Option<bool>,
}

/// The answer to a submit.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) request_id: RunId,
    pub(crate) status: Status,
    pub(crate) class: String,
    /// US dollars; none when the price is unknown.
    pub(crate) estimated_cost_usd: Option<Number>,
    pub(crate) estimated_tokens: Tokens,
    #[serde(default)]
    pub(crate) simulated: bool,
}

/// Numbers of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// Where a run is.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RunView {
    pub(crate) request_id: RunId,
    pub(crate) kind: String,
    pub(crate) status: Status,
    pub(crate) class: String,
    pub(crate) priority: Option<u8>,
    pub(crate) task_type: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) attempts: u32,
    pub(crate) created_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) not_before: Option<String>,
    pub(crate) deadline_at: Option<String>,
    pub(crate) cancel_requested_at: Option<String>,
    pub(crate) on_interruption: Option<String>,
    pub(crate) estimated_cost_usd: Option<Number>,
    pub(crate) estimated_tokens: Option<Tokens>,
    #[serde(default)]
    pub(crate) simulated: bool,
}

/// A page of runs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Page {
    pub(crate) requests: Vec<RunView>,
    pub(crate) next_cursor: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ResultView {
    pub(crate) status: Status,
    pub(crate) text: Option<String>,
    /// What the answer has besides its text: tool calls, reasoning, ...
    pub(crate) message: Option<Map<String, Value>>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    /// The provider's own report.
    pub(crate) usage: Option<Value>,
    /// US dollars; none when the price is unknown.
    pub(crate) cost_usd: Option<Number>,
    pub(crate) error: Option<ErrorView>,
    #[serde(default)]
    pub(crate) simulated: bool,
}

impl ResultView {
    /// What the provider counted, under the names that OpenAI's two APIs and most others use.
    pub(crate) fn tokens(&self) -> Option<Tokens> {
        let usage = self.usage.as_ref()?;
        let count = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| usage.get(name).and_then(Value::as_u64))
        };
        let (input, output) = (
            count(["input_tokens", "prompt_tokens"])?,
            count(["output_tokens", "completion_tokens"])?,
        );
        Some(Tokens { input, output })
    }
}

/// Why a run has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ErrorView {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) retryable: bool,
}

/// The providers as the workers see them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct FleetView {
    /// Those that can be called.
    pub(crate) providers: Vec<FleetProvider>,
    /// What all workers together saw of each model.
    pub(crate) models: Vec<FleetModel>,
}

/// A provider that workers can call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FleetProvider {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) workers: u32,
    #[serde(default)]
    pub(crate) keys: u32,
}

/// What the workers saw of a model at a provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FleetModel {
    pub(crate) provider: String,
    pub(crate) model: String,
    #[serde(default)]
    pub(crate) calls: u64,
    pub(crate) first_token_ms: Option<f32>,
    pub(crate) tokens_per_second: Option<f32>,
    #[serde(default)]
    pub(crate) error_rate: f32,
    pub(crate) breaker: BreakerState,
    pub(crate) open_until: Option<Timestamp>,
}
