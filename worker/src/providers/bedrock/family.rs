//! What is peculiar to the models of one vendor, told by the id of a model, an inference profile or either's ARN.

use serde_json::{Map, Value, json};

use crate::providers::anthropic::Generation;
use crate::providers::canonical::Effort;

/// Whose model it is, as far as that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Claude(Generation),
    /// Amazon's Nova from 2 on, which think.
    Nova2,
    /// Other models of Amazon's.
    Amazon,
    OpenAi,
    Qwen,
    /// Models that cannot be held to a schema and whose vendors say so: Meta, Cohere, AI21, Writer.
    Unschooled,
    Other,
}

impl Family {
    /// Of the model with this id.
    pub(super) fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let is = |mark: &str| model.contains(mark);
        if is("anthropic.") || is("claude") {
            Self::Claude(Generation::of(&model))
        } else if is("amazon.nova-2") {
            Self::Nova2
        } else if is("amazon.") {
            Self::Amazon
        } else if is("openai.") {
            Self::OpenAi
        } else if is("qwen.") {
            Self::Qwen
        } else if ["meta.", "cohere.", "ai21.", "writer."].into_iter().any(is) {
            Self::Unschooled
        } else {
            Self::Other
        }
    }

    /// Whether it goes on from an answer's beginning. Of others than Claude that is not known.
    pub(super) fn goes_on(self) -> bool {
        matches!(self, Self::Claude(generation) if generation.goes_on())
    }

    /// Whether it takes `outputConfig.textFormat`. Source: "Structured outputs" in the Bedrock user guide.
    pub(super) fn keeps_to_schemas(self) -> bool {
        match self {
            Self::Claude(generation) => generation.keeps_to_schemas(),
            Self::Nova2 | Self::Amazon | Self::Unschooled => false,
            Self::OpenAi | Self::Qwen | Self::Other => true,
        }
    }

    /// Whether it can be made to call one tool, so that its arguments may be the answer, and may think meanwhile.
    pub(super) fn can_be_made_to_call(self) -> bool {
        match self {
            Self::Claude(generation) => !generation.adapts(),
            Self::Nova2 | Self::Amazon => true,
            _ => false,
        }
    }

    /// Adds what tells the model how hard to think, where it is not Claude. Models that have no word for it, or none
    /// that is known, are not told.
    pub(super) fn think(self, effort: Effort, fields: &mut Map<String, Value>) {
        let level = match effort {
            Effort::None => None,
            Effort::Minimal | Effort::Low => Some("low"),
            Effort::Medium => Some("medium"),
            Effort::High | Effort::XHigh | Effort::Max => Some("high"),
        };
        let (name, value) = match (self, level) {
            (Self::Nova2, Some(level)) => (
                "reasoningConfig",
                json!({"type": "enabled", "maxReasoningEffort": level}),
            ),
            (Self::Nova2, None) => ("reasoningConfig", json!({"type": "disabled"})),
            (Self::OpenAi, Some(level)) => ("reasoning_effort", json!(level)),
            (Self::Qwen, Some(level)) => ("reasoning_config", json!(level)),
            _ => return,
        };
        fields.entry(name).or_insert(value);
    }

    /// Adds `top_k` where the model looks for it.
    pub(super) fn top_k(self, top_k: &Value, fields: &mut Map<String, Value>) {
        match self {
            Self::Nova2 | Self::Amazon => {
                let inference = fields.entry("inferenceConfig").or_insert_with(|| json!({}));
                if let Value::Object(inference) = inference {
                    inference.entry("topK").or_insert_with(|| top_k.clone());
                }
            }
            _ => {
                fields.entry("top_k").or_insert_with(|| top_k.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_by_every_kind_of_id() {
        let claude = |name: &str| Family::Claude(Generation::of(name));
        for (id, family) in [
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                claude("claude-sonnet-4-5"),
            ),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-opus-4-6-v1",
                claude("claude-opus-4-6"),
            ),
            ("us.amazon.nova-micro-v1:0", Family::Amazon),
            ("amazon.nova-2-lite-v1:0", Family::Nova2),
            ("openai.gpt-oss-120b-1:0", Family::OpenAi),
            ("qwen.qwen3-32b-v1:0", Family::Qwen),
            ("meta.llama3-3-70b-instruct-v1:0", Family::Unschooled),
            ("deepseek.v3-v1:0", Family::Other),
            (
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2",
                Family::Other,
            ),
        ] {
            assert_eq!(Family::of(id), family, "{id}");
        }
    }

    #[test]
    fn only_older_claudes_go_on() {
        for (id, goes_on) in [
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", true),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", true),
            ("us.anthropic.claude-opus-4-6-v1", false),
            ("us.amazon.nova-micro-v1:0", false),
        ] {
            assert_eq!(Family::of(id).goes_on(), goes_on, "{id}");
        }
    }
}
