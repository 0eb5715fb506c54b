//! A provider: where it is, how it is spoken to, what it is known to do differently. Data only: the calls are made
//! elsewhere, and no key is ever kept here, only the names of the variables that hold them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Credentials, Prices};

/// A service that answers model calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name in ids (`provider/model`), events, hints and metrics: lower case, digits, `-`, `_`, `.`.
    pub name: Arc<str>,
    /// Its name for people.
    pub title: String,
    /// Up to and including the version, without a slash at the end: `https://api.openai.com/v1`. May hold
    /// `{PLACEHOLDER}`s, each the name of a variable.
    pub base_url: String,
    /// The variable whose value is used instead of `base_url`; for a local provider, what says that it is there.
    pub base_url_env: Option<String>,
    /// The protocol it speaks.
    pub dialect: Dialect,
    /// How a key goes out.
    pub auth: Auth,
    /// Variables that may hold its key; the first that is set counts. A value with commas is several keys.
    pub key_env: Vec<String>,
    /// What stands in for a key where none is set.
    pub credentials: Option<Credentials>,
    /// What it allows; none means that we do not hold back.
    pub limits: Limits,
    /// Whether it runs beside us: `prefer_local` prefers it.
    pub local: bool,
    /// What makes it live.
    pub live_when: LiveWhen,
    /// Whether it is the simulator: said on every run, event and result, and never beside a real provider.
    pub simulated: bool,
    /// Whether any model name may be sent to it, also those that the catalog does not list.
    pub unlisted_models: bool,
    /// Whether its models answer only to their id and to aliases, not to their bare name: which of them there are is
    /// its owner's choice.
    pub by_id_only: bool,
    /// What it charges for models that have no price of their own.
    pub default_prices: Option<Prices>,
    /// What differs from its dialect's usual ways.
    pub quirks: Quirks,
    /// Where all this was read.
    pub source: String,
    /// The day it was read there, `YYYY-MM-DD`; none for what the user wrote.
    pub verified: Option<String>,
    /// What of it is not certain, in words; none when all was found in the source.
    pub unverified: Option<String>,
}

/// What makes a provider live: prompts go nowhere that nobody has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveWhen {
    /// One of its key variables is set, or what stands in for a key.
    Key,
    /// The variable of its base URL is set: local servers, which need no key.
    BaseUrl,
    /// The user's file or the environment describes it, and it needs no key.
    Always,
    /// Never: switched off.
    Never,
}

/// The protocol a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Chat completions.
    #[serde(rename = "openai")]
    OpenAi,
    /// Chat completions behind a deployment's address.
    Azure,
    /// Messages.
    Anthropic,
    /// `generateContent`.
    Gemini,
    /// Converse.
    Bedrock,
    /// Chat, version 2.
    Cohere,
}

impl Dialect {
    /// Its name in files, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
        }
    }
}

/// How a key goes out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// A header of its own, whose value is the key.
    Header(String),
    /// Not at all.
    None,
}

/// What a provider allows one key (requests, tokens) or one account (concurrency).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Tokens per minute, sent and generated.
    pub tpm: Option<u64>,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
}

/// What a provider does differently from its dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quirks {
    /// Parameters it refuses: they are left out. Never what would change the answer's form or number.
    pub dropped_params: Vec<String>,
    /// The field that bounds the answer.
    pub max_tokens_field: MaxTokensField,
    /// Whether it takes `stream_options: {include_usage: true}`.
    pub stream_options: bool,
    /// Where a stream reports its usage.
    pub stream_usage: StreamUsage,
    /// Where its refusals keep their message.
    pub error_shape: ErrorShape,
    /// The path of chat calls below the base URL, where it is not the dialect's own; begins with a slash.
    pub chat_path: Option<String>,
    /// Whether calls of tools and their results may go back with the calls' ids, where a dialect can do without.
    pub call_ids: bool,
    /// Headers that go out with every call.
    pub headers: BTreeMap<String, String>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            dropped_params: Vec::new(),
            max_tokens_field: MaxTokensField::default(),
            stream_options: true,
            stream_usage: StreamUsage::default(),
            error_shape: ErrorShape::default(),
            chat_path: None,
            call_ids: true,
            headers: BTreeMap::new(),
        }
    }
}

/// The field that bounds an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_tokens`, which nearly every compatible server takes.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models insist on.
    MaxCompletionTokens,
}

/// Where a stream reports its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// In a last chunk without choices, as OpenAI does.
    #[default]
    LastChunk,
    /// In `usage` of the chunk that also says why the answer ended, or of every chunk; the last one counts.
    WithChunks,
    /// In `x_groq.usage` of the last chunk, beside or instead of `usage`.
    XGroq,
}

/// Where a refusal's message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorShape {
    /// `{"error": {"message", "type", "code"}}`.
    #[default]
    OpenAi,
    /// `{"error": "..."}`.
    ErrorText,
    /// `{"message": "..."}` at the top.
    Message,
    /// `{"detail": "..."}`, or a list of what was wrong, as FastAPI writes it.
    Detail,
    /// `{"errors": [{"message", "code"}]}`, as Cloudflare writes it.
    Errors,
}
