//! The specification of a chat run: what the executor needs to make the provider call.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The model name that leaves the choice to the router.
pub const AUTO_MODEL: &str = "auto";

/// What a chat run asks for. Stored as JSON text in the run's `spec`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChatSpec {
    /// The model, or `auto`.
    pub model: String,
    /// The conversation: a JSON array of OpenAI chat messages, as the client wrote them.
    pub messages: Box<RawValue>,
    /// At most so many tokens are generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The provider to prefer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_hint: Option<String>,
    /// Passed to the provider as they are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}
