//! What a run asks of whoever answers it. Read once from the run's specification; a choice only compares.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::catalog::Capabilities;
use shared::domain::chat::ChatSpec;
use shared::domain::tokens;
use std::borrow::Cow;

use super::policy::Policy;

/// Tokens an image is reckoned with: what OpenAI charges for a picture of 1024 by 1024 in high detail
/// (<https://platform.openai.com/docs/guides/images-vision>: 85 + 4 · 170), near enough for whether it fits.
const IMAGE_TOKENS: u32 = 765;

/// Parameters without which the answer would be another answer: who cannot take them is passed over. Any other that a
/// provider does not take is left out of its request.
pub(super) const ESSENTIAL: [(&str, &str); 9] = [
    ("tools", "param:tools"),
    ("tool_choice", "param:tool_choice"),
    ("functions", "param:functions"),
    ("response_format", "param:response_format"),
    ("stop", "param:stop"),
    ("logprobs", "param:logprobs"),
    ("top_logprobs", "param:top_logprobs"),
    ("modalities", "param:modalities"),
    ("audio", "param:audio"),
];

/// What a run asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// A model's name, an alias, a split, a chain, or `auto`.
    pub model: String,
    /// What the prompt is for; `auto` goes by it.
    pub task_type: String,
    /// Tokens of the prompt, estimated.
    pub input_tokens: u32,
    /// Tokens of the answer, expected: what time and cost are reckoned with.
    pub output_tokens: u32,
    /// The longest answer asked for.
    pub max_tokens: Option<u32>,
    /// Abilities the messages and parameters make use of.
    pub abilities: Abilities,
    /// Which of the essential parameters are set.
    pub params: Params,
    /// How candidates are weighed.
    pub policy: Policy,
    /// The provider to prefer while it can.
    pub provider_hint: Option<String>,
    /// Whether providers beside us are preferred while they can.
    pub prefer_local: bool,
    /// Names to go on with, in this order, when `model` has nobody left.
    pub fallbacks: Vec<String>,
}

/// Abilities, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities(u8);

impl Abilities {
    /// Answers a conversation.
    pub const CHAT: Self = Self(1);
    /// Calls tools.
    pub const TOOLS: Self = Self(2);
    /// Sees images.
    pub const VISION: Self = Self(4);
    /// Keeps to a JSON schema.
    pub const JSON_SCHEMA: Self = Self(8);

    const NAMED: [(Self, &'static str); 4] = [
        (Self::CHAT, "capability:chat"),
        (Self::TOOLS, "capability:tools"),
        (Self::VISION, "capability:vision"),
        (Self::JSON_SCHEMA, "capability:json_schema"),
    ];

    /// What a model can do.
    #[must_use]
    pub fn of(capabilities: Capabilities) -> Self {
        let mut all = Self::default();
        let Capabilities {
            chat,
            tools,
            vision,
            json_schema,
            ..
        } = capabilities;
        all.set(Self::CHAT, chat);
        all.set(Self::TOOLS, tools);
        all.set(Self::VISION, vision);
        all.set(Self::JSON_SCHEMA, json_schema);
        all
    }

    /// Adds one, if it is so.
    pub const fn set(&mut self, one: Self, is: bool) {
        if is {
            self.0 |= one.0;
        }
    }

    /// The name of the first ability that `other` has and this has not, as a reason to pass over.
    pub(super) fn lacks(self, other: Self) -> Option<&'static str> {
        let lacking = other.0 & !self.0;
        if lacking == 0 {
            return None;
        }
        let named = Self::NAMED.iter().find(|(one, _)| one.0 & lacking != 0);
        named.map(|(_, name)| *name)
    }
}

/// Essential parameters, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params(u16);

impl Params {
    /// Those of these names that are essential.
    #[must_use]
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let bit = |name: &str| {
            let position = ESSENTIAL.iter().position(|(known, _)| *known == name);
            position.map_or(0, |position| 1 << position)
        };
        Self(names.into_iter().map(bit).fold(0, |all, bit| all | bit))
    }

    /// The first that both have, as a reason to pass over.
    pub(super) fn clashes(self, other: Self) -> Option<&'static str> {
        let both = self.0 & other.0;
        if both == 0 {
            return None;
        }
        ESSENTIAL
            .get(both.trailing_zeros() as usize)
            .map(|(_, reason)| *reason)
    }
}

impl Need {
    /// A need for a chat with this model that asks for nothing special.
    #[must_use]
    pub fn plain(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            task_type: "chat".to_owned(),
            input_tokens: 0,
            output_tokens: tokens::DEFAULT_OUTPUT,
            max_tokens: None,
            abilities: Abilities::CHAT,
            params: Params::default(),
            policy: Policy::default(),
            provider_hint: None,
            prefer_local: false,
            fallbacks: Vec::new(),
        }
    }

    /// What this specification asks for. Messages that cannot be read ask for nothing: whoever is called will say so.
    #[must_use]
    pub fn of(spec: &ChatSpec, task_type: &str) -> Self {
        let conversation = Conversation::read(&spec.messages);
        let mut abilities = Abilities::CHAT;
        abilities.set(Abilities::TOOLS, conversation.tools || wants_tools(&spec.params));
        abilities.set(Abilities::VISION, conversation.images > 0);
        abilities.set(Abilities::JSON_SCHEMA, wants_json_schema(&spec.params));
        let beside = spec
            .params
            .get("tools")
            .map_or(0, |tools| tokens::approximate(tools.to_string().len()));
        let set = |(name, value): (&'_ String, &Value)| (!value.is_null()).then(|| name.clone());
        let set: Vec<String> = spec.params.iter().filter_map(set).collect();
        let longest = spec.max_tokens.unwrap_or(tokens::DEFAULT_OUTPUT);
        Self {
            input_tokens: conversation.tokens().saturating_add(beside),
            output_tokens: longest.min(tokens::DEFAULT_OUTPUT),
            max_tokens: spec.max_tokens,
            abilities,
            params: Params::named(set.iter().map(String::as_str)),
            policy: spec.routing_policy,
            provider_hint: spec.provider_hint.clone(),
            prefer_local: spec.prefer_local,
            fallbacks: spec.fallbacks.clone(),
            task_type: task_type.to_owned(),
            ..Self::plain(&spec.model)
        }
    }
}

fn wants_tools(params: &Map<String, Value>) -> bool {
    let given = |name: &str| {
        let list = params.get(name).and_then(Value::as_array);
        list.is_some_and(|list| !list.is_empty())
    };
    given("tools") || given("functions")
}

fn wants_json_schema(params: &Map<String, Value>) -> bool {
    params
        .get("response_format")
        .and_then(|format| format.get("type"))
        == Some(&Value::from("json_schema"))
}

/// What is in a conversation, as far as the choice depends on it.
#[derive(Debug, Default)]
struct Conversation {
    messages: u32,
    text_bytes: usize,
    images: u32,
    tools: bool,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(default)]
    image_url: Option<IgnoredAny>,
}

impl Conversation {
    fn read(messages: &RawValue) -> Self {
        let mut found = Self::default();
        let messages: Vec<Message<'_>> = serde_json::from_str(messages.get()).unwrap_or_default();
        for message in messages {
            found.messages = found.messages.saturating_add(1);
            found.tools |= message.role.as_deref() == Some("tool");
            if let Some(calls) = message.tool_calls.map(RawValue::get) {
                found.tools = true;
                found.text_bytes += calls.len();
            }
            let Some(content) = message.content.map(RawValue::get) else {
                continue;
            };
            if !content.starts_with('[') {
                found.text_bytes += content.len();
                continue;
            }
            // A part's data may be megabytes of an image: only its text counts as text.
            for part in serde_json::from_str::<Vec<Part<'_>>>(content).unwrap_or_default() {
                found.text_bytes += part.text.map_or(0, |text| text.get().len());
                let image = part.image_url.is_some()
                    || matches!(part.kind.as_deref(), Some("image_url" | "input_image" | "image"));
                found.images = found.images.saturating_add(u32::from(image));
            }
        }
        found
    }

    fn tokens(&self) -> u32 {
        tokens::approximate(self.text_bytes)
            .saturating_add(self.messages.saturating_mul(tokens::PER_MESSAGE))
            .saturating_add(self.images.saturating_mul(IMAGE_TOKENS))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn need(spec: &Value) -> Need {
        // By way of text, as it comes from the ledger.
        Need::of(&serde_json::from_str(&spec.to_string()).unwrap(), "chat")
    }

    #[test]
    fn plain_text_needs_a_chat_and_nothing_else() {
        let need = need(&json!({"model": "m", "messages": [{"role": "user", "content": "0123456789"}]}));
        // 12 bytes with the quotes are 3 tokens; 4 for the message.
        assert_eq!(need.input_tokens, 7);
        assert_eq!(
            need,
            Need {
                input_tokens: 7,
                ..Need::plain("m")
            }
        );
    }

    #[test]
    fn images_need_eyes_and_are_not_counted_as_text() {
        let image = format!("data:image/png;base64,{}", "A".repeat(1_000_000));
        let need = need(&json!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": image}}]}]}));
        assert_eq!(need.abilities.lacks(Abilities::CHAT), None);
        assert_eq!(Abilities::CHAT.lacks(need.abilities), Some("capability:vision"));
        assert!(need.input_tokens < 1_000, "{}", need.input_tokens);
    }

    #[test]
    fn tools_are_needed_for_offering_them_and_for_going_on_with_them() {
        let offers = json!({"model": "m", "messages": [], "params": {"tools": [{"type": "function"}]}});
        let called = json!({"model": "m", "messages": [
            {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}]});
        let answered = json!({"model": "m", "messages": [{"role": "tool", "content": "42"}]});
        for spec in [offers, called, answered] {
            assert_eq!(
                Abilities::CHAT.lacks(need(&spec).abilities),
                Some("capability:tools")
            );
        }
        let none = json!({"model": "m", "messages": [{"role": "assistant", "content": "x", "tool_calls": null}],
            "params": {"tools": []}});
        assert_eq!(Abilities::CHAT.lacks(need(&none).abilities), None);
    }

    #[test]
    fn a_schema_is_more_than_json() {
        let of = |kind: &str| {
            need(&json!({"model": "m", "messages": [], "params": {"response_format": {"type": kind}}}))
                .abilities
        };
        assert_eq!(
            Abilities::CHAT.lacks(of("json_schema")),
            Some("capability:json_schema")
        );
        assert_eq!(Abilities::CHAT.lacks(of("json_object")), None);
    }

    #[test]
    fn only_essential_parameters_that_are_set_clash() {
        let need = need(&json!({"model": "m", "messages": [],
            "params": {"logprobs": true, "stop": null, "seed": 1}}));
        assert_eq!(
            need.params.clashes(Params::named(["logprobs"])),
            Some("param:logprobs")
        );
        assert_eq!(need.params.clashes(Params::named(["stop", "seed", "user"])), None);
    }

    #[test]
    fn the_hint_and_the_longest_answer_are_taken_along() {
        let need = need(&json!({"model": "m", "messages": [], "max_tokens": 50, "provider_hint": "groq"}));
        assert_eq!((need.max_tokens, need.output_tokens), (Some(50), 50));
        assert_eq!(need.provider_hint.as_deref(), Some("groq"));
        let long = self::need(&json!({"model": "m", "messages": [], "max_tokens": 100_000}));
        assert_eq!(long.output_tokens, tokens::DEFAULT_OUTPUT);
    }
}
