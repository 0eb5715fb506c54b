//! What a submit may say on the native surface, and how that becomes a chat request. Fields whose feature is not
//! built are known here, so that they are refused by name and never ignored.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::admission::{ChatRequest, Messages, invalid};
use crate::problem::{Code, Problem};

/// A prompt, and how it should be run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "prompt": "Why is the sky blue?", "priority": 80 }))]
pub(super) struct SubmitBody {
    /// On whose behalf: your own name for a user of yours. Only a keyed hash of it is stored.
    #[schema(min_length = 1, max_length = 256)]
    user_id: Option<String>,
    /// The user's words. Either this or `messages`.
    #[schema(min_length = 1, example = "Why is the sky blue?")]
    prompt: Option<String>,
    /// A conversation: OpenAI chat messages, passed on as they are. Either this or `prompt`.
    #[schema(value_type = Option<Vec<Object>>, min_items = 1)]
    messages: Option<Box<RawValue>>,
    /// What it is for: a hint for routing, and a label of metrics. `workflow` is not available yet.
    #[schema(pattern = "^[a-z0-9_-]{1,64}$", default = "chat")]
    task_type: Option<String>,
    /// The model, or `auto`.
    #[schema(min_length = 1, max_length = 256, default = "auto")]
    model: Option<String>,
    /// How urgent it is: 70 and above is the class `interactive`, below 30 `batch`.
    #[schema(minimum = 0, maximum = 100, default = 50)]
    priority: Option<i64>,
    /// The provider to prefer, by its name in the catalog.
    #[schema(max_length = 64, example = "anthropic")]
    provider_hint: Option<String>,
    /// What counts when a provider is chosen: `balanced`, `cheapest`, `fastest`, `quality` or `local_first`.
    #[schema(default = "balanced")]
    routing_policy: Option<String>,
    /// Whether providers that run beside the workers are preferred while they can.
    #[schema(default = false)]
    prefer_local: Option<bool>,
    /// Names of models to go on with, in this order, when nobody is left for `model`.
    #[schema(max_items = 8, example = json!(["claude-sonnet-4-5", "auto"]))]
    fallbacks: Option<Vec<String>>,
    /// At most so many tokens are generated.
    #[schema(minimum = 1, maximum = 10_000_000)]
    max_tokens: Option<i64>,
    /// Sampling temperature.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// The run fails when it has not ended so many milliseconds from now.
    #[schema(minimum = 1, maximum = 2_592_000_000_i64)]
    deadline_ms: Option<i64>,
    /// Notes of your own, at most 16 KiB; handed back with the run.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    /// When the answer breaks off after output was visible: `restart` begins it again (the rewind is announced),
    /// `continue` goes on from what was said with a provider that can, `fail` ends the run.
    #[schema(default = "restart")]
    on_interruption: Option<String>,
    /// Further parameters for the provider, passed on as they are. `stream: false` asks it for the answer in one piece;
    /// what has a field of its own (`model`, `max_tokens`, ...) and more than one answer (`n`) are refused.
    #[schema(value_type = Option<Object>, example = json!({ "top_p": 0.9 }))]
    params: Option<Map<String, Value>>,
    /// Not available yet.
    #[schema(value_type = Option<Vec<String>>)]
    context_ids: Option<Value>,
}

impl SubmitBody {
    /// As every surface's requests look to admission.
    ///
    /// # Errors
    /// When there is not exactly one of `prompt` and `messages`, or a field of a feature that is not built.
    pub(super) fn into_request(self) -> Result<ChatRequest, Problem> {
        if self.context_ids.is_some() {
            return Err(Problem::new(Code::FeatureNotAvailable)
                .detail("this version keeps no contexts")
                .field("context_ids"));
        }
        let messages = match (self.prompt, self.messages) {
            (Some(prompt), None) => Messages::of_prompt(&prompt)?,
            (None, Some(messages)) => Messages::of_json(messages)?,
            (None, None) => {
                return Err(Problem::new(Code::EmptyPrompt)
                    .detail("send `prompt` or `messages`")
                    .field("prompt"));
            }
            (Some(_), Some(_)) => return Err(invalid("prompt", "and `messages` cannot both be given")),
        };
        Ok(ChatRequest {
            user_id: self.user_id,
            messages,
            task_type: self.task_type,
            model: self.model,
            priority: self.priority,
            provider_hint: self.provider_hint,
            routing_policy: self.routing_policy,
            prefer_local: self.prefer_local,
            fallbacks: self.fallbacks,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            deadline_ms: self.deadline_ms,
            metadata: self.metadata,
            on_interruption: self.on_interruption,
            params: self.params,
        })
    }
}
