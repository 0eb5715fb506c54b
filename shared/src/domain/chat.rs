//! The specification of a chat run: what the executor needs to make the provider call.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Policy;

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
    /// How candidates are weighed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub routing_policy: Policy,
    /// Whether providers beside us are preferred while they can.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prefer_local: bool,
    /// Names of models to go on with, in this order, when nobody is left for `model`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// Passed to the provider as they are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_queued_by_an_older_version_still_parses() {
        let spec: ChatSpec = serde_json::from_str(r#"{"model":"auto","messages":[]}"#).unwrap();
        assert_eq!(spec.routing_policy, Policy::Balanced);
        assert!(!spec.prefer_local && spec.fallbacks.is_empty());
        // And what asks for nothing special is written as that version wrote it.
        assert_eq!(
            serde_json::to_string(&spec).unwrap(),
            r#"{"model":"auto","messages":[]}"#
        );
    }
}
