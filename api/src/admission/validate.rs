//! What a chat request may say, whichever surface it came by. The order of checks is the order of fields in the
//! documentation; the first mistake is the one that is told.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::catalog::Catalog;
use shared::domain::chat::{AUTO_MODEL, ChatSpec};
use shared::domain::{Interruption, Policy, Priority};

use super::Messages;
use super::names::{Meant, may_answer};
use crate::problem::{Code, Problem};

/// The largest `max_tokens`: beyond every model there is, and within the ledger's columns.
pub(super) const MAX_TOKENS: u32 = 10_000_000;
const MAX_USER_ID: usize = 256;
const MAX_MODEL: usize = 256;
const MAX_PROVIDER: usize = 64;
const MAX_FALLBACKS: usize = 8;
const MAX_TASK_TYPE: usize = 64;
const MAX_DEADLINE_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
const MAX_METADATA: usize = 16 * 1_024;
const DEFAULT_TASK_TYPE: &str = "chat";

/// Task types whose feature is not built; accepting them would be a lie.
const NOT_BUILT: [&str; 1] = ["workflow"];

/// Parameters that are set from fields of their own, or that would change how the answer is read.
const RESERVED: [&str; 5] = ["model", "messages", "stream_options", "max_tokens", "temperature"];

/// A chat request as a surface understood it; values are not checked yet.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    pub(crate) user_id: Option<String>,
    pub(crate) messages: Messages,
    pub(crate) task_type: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) provider_hint: Option<String>,
    pub(crate) routing_policy: Option<String>,
    pub(crate) prefer_local: Option<bool>,
    pub(crate) fallbacks: Option<Vec<String>>,
    pub(crate) max_tokens: Option<i64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) deadline_ms: Option<i64>,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) on_interruption: Option<String>,
    pub(crate) params: Option<Map<String, Value>>,
}

/// A chat request that may become a run.
#[derive(Debug)]
pub(super) struct ValidRequest {
    pub(super) user_id: Option<String>,
    pub(super) messages: Vec<Value>,
    pub(super) task_type: String,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Duration>,
    pub(super) metadata: Option<Box<RawValue>>,
    pub(super) on_interruption: Interruption,
    pub(super) spec: ChatSpec,
}

/// Checks every field.
///
/// # Errors
/// The first field that is not allowed.
pub(super) fn validate(
    request: ChatRequest,
    catalog: &Catalog,
    auto: Option<&str>,
) -> Result<ValidRequest, Problem> {
    let user_id = request.user_id.map(user_id).transpose()?;
    let task_type = task_type(request.task_type)?;
    let model = match request.model {
        Some(name) => model("model", name)?,
        None => AUTO_MODEL.to_owned(),
    };
    let priority = priority(request.priority)?;
    let provider_hint = request
        .provider_hint
        .map(|hint| provider_hint(hint, catalog))
        .transpose()?;
    let routing_policy = routing_policy(request.routing_policy.as_deref())?;
    let fallbacks = fallbacks(request.fallbacks.unwrap_or_default())?;
    let max_tokens = request.max_tokens.map(max_tokens).transpose()?;
    let temperature = request.temperature.map(temperature).transpose()?;
    let deadline = request.deadline_ms.map(deadline).transpose()?;
    let metadata = request.metadata.map(metadata).transpose()?;
    let on_interruption = on_interruption(request.on_interruption.as_deref())?;
    if on_interruption == Interruption::Continue {
        somebody_may_continue(std::iter::once(&model).chain(&fallbacks), catalog, auto)?;
    }
    let params = params(request.params.unwrap_or_default())?;
    let Messages { text, parsed } = request.messages;
    Ok(ValidRequest {
        user_id,
        messages: parsed,
        task_type,
        priority,
        deadline,
        metadata,
        on_interruption,
        spec: ChatSpec {
            model,
            messages: text,
            max_tokens,
            temperature,
            provider_hint,
            routing_policy,
            prefer_local: request.prefer_local.unwrap_or_default(),
            fallbacks,
            params,
        },
    })
}

/// A field whose value is not allowed.
pub(crate) fn invalid(field: &str, why: impl std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidField)
        .detail(format!("`{field}` {why}"))
        .field(field)
}

/// Refuses NUL in any text inside a value: databases and C programs end texts there.
///
/// # Errors
/// `nul_character` with the path of the first one.
pub(crate) fn refuse_nul(value: &Value, field: &str) -> Result<(), Problem> {
    let found = || Problem::new(Code::NulCharacter).field(field);
    match value {
        Value::String(text) if text.contains('\0') => Err(found()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| refuse_nul(item, &format!("{field}[{index}]"))),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            if name.contains('\0') {
                Err(found())
            } else {
                refuse_nul(value, &format!("{field}.{name}"))
            }
        }),
        _ => Ok(()),
    }
}

fn text(field: &str, text: String, longest: usize) -> Result<String, Problem> {
    if text.contains('\0') {
        return Err(Problem::new(Code::NulCharacter).field(field));
    }
    if text.is_empty() || text.len() > longest {
        return Err(invalid(field, format!("must have 1 to {longest} bytes")));
    }
    Ok(text)
}

fn user_id(user_id: String) -> Result<String, Problem> {
    text("user_id", user_id, MAX_USER_ID)
}

fn task_type(task_type: Option<String>) -> Result<String, Problem> {
    let Some(task_type) = task_type else {
        return Ok(DEFAULT_TASK_TYPE.to_owned());
    };
    let task_type = text("task_type", task_type, MAX_TASK_TYPE)?;
    if NOT_BUILT.contains(&task_type.as_str()) {
        return Err(Problem::new(Code::FeatureNotAvailable)
            .detail(format!("this version runs no task of type `{task_type}`"))
            .field("task_type"));
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if task_type.bytes().all(plain) {
        Ok(task_type)
    } else {
        Err(invalid("task_type", "may have only a-z, 0-9, `_` and `-`"))
    }
}

fn model(field: &str, model: String) -> Result<String, Problem> {
    let model = text(field, model, MAX_MODEL)?;
    if model.trim().is_empty() || model.chars().any(char::is_control) {
        return Err(invalid(field, "must be the name of a model, or `auto`"));
    }
    Ok(model)
}

fn fallbacks(names: Vec<String>) -> Result<Vec<String>, Problem> {
    if names.len() > MAX_FALLBACKS {
        return Err(invalid(
            "fallbacks",
            format!("may name at most {MAX_FALLBACKS} models"),
        ));
    }
    let each = names.into_iter().enumerate();
    each.map(|(place, name)| model(&format!("fallbacks[{place}]"), name))
        .collect()
}

fn routing_policy(policy: Option<&str>) -> Result<Policy, Problem> {
    let Some(policy) = policy else {
        return Ok(Policy::default());
    };
    policy.parse().map_err(|_| {
        let known = Policy::ALL.map(Policy::as_str).join("`, `");
        invalid("routing_policy", format!("must be one of `{known}`"))
    })
}

fn priority(priority: Option<i64>) -> Result<Priority, Problem> {
    let Some(priority) = priority else {
        return Ok(Priority::default());
    };
    let within = u8::try_from(priority).ok().and_then(Priority::new);
    within.ok_or_else(|| invalid("priority", format!("must be between 0 and {}", Priority::MAX)))
}

fn provider_hint(hint: String, catalog: &Catalog) -> Result<String, Problem> {
    let hint = text("provider_hint", hint, MAX_PROVIDER)?;
    if catalog
        .provider(&hint)
        .is_some_and(|provider| may_answer(provider, catalog))
    {
        return Ok(hint);
    }
    Err(Problem::new(Code::UnknownProvider)
        .detail("no provider of that name can answer here: see `mcpctl providers list`")
        .field("provider_hint"))
}

fn max_tokens(max_tokens: i64) -> Result<u32, Problem> {
    let within = u32::try_from(max_tokens)
        .ok()
        .filter(|tokens| (1..=MAX_TOKENS).contains(tokens));
    within.ok_or_else(|| invalid("max_tokens", format!("must be between 1 and {MAX_TOKENS}")))
}

fn temperature(temperature: f64) -> Result<f64, Problem> {
    let within = (0.0..=2.0).contains(&temperature);
    if within {
        Ok(temperature)
    } else {
        Err(invalid("temperature", "must be between 0 and 2"))
    }
}

fn deadline(millis: i64) -> Result<Duration, Problem> {
    let within = (1..=MAX_DEADLINE_MS)
        .contains(&millis)
        .then(|| u64::try_from(millis).ok())
        .flatten();
    let millis =
        within.ok_or_else(|| invalid("deadline_ms", format!("must be between 1 and {MAX_DEADLINE_MS}")))?;
    Ok(Duration::from_millis(millis))
}

fn metadata(text: Box<RawValue>) -> Result<Box<RawValue>, Problem> {
    let value: Value = serde_json::from_str(text.get())
        .map_err(|error| crate::body::refused("metadata", &error).field("metadata"))?;
    if !value.is_object() {
        return Err(invalid("metadata", "must be an object"));
    }
    refuse_nul(&value, "metadata")?;
    if text.get().len() > MAX_METADATA {
        return Err(invalid(
            "metadata",
            format!("may have at most {MAX_METADATA} bytes"),
        ));
    }
    Ok(text)
}

fn on_interruption(policy: Option<&str>) -> Result<Interruption, Problem> {
    match policy {
        None => Ok(Interruption::default()),
        Some(policy) => policy
            .parse()
            .map_err(|_| invalid("on_interruption", "must be `restart`, `continue` or `fail`")),
    }
}

/// Accepting a promise that nobody asked can keep would be a lie.
fn somebody_may_continue<'a>(
    mut names: impl Iterator<Item = &'a String>,
    catalog: &Catalog,
    auto: Option<&str>,
) -> Result<(), Problem> {
    if names.any(|name| Meant::by(name, auto, catalog).may_continue(catalog)) {
        return Ok(());
    }
    Err(Problem::new(Code::ContinueNotSupported)
        .detail("no provider of this model can go on from a broken answer: use `restart` or `fail`")
        .field("on_interruption"))
}

fn params(params: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    for (name, value) in &params {
        let field = format!("params.{name}");
        let several = name == "n" && !matches!(value, Value::Null) && value.as_u64() != Some(1);
        if RESERVED.contains(&name.as_str()) || several {
            let why = if several {
                "a run has one answer"
            } else {
                "it has a field of its own, or is set by this server"
            };
            return Err(Problem::new(Code::ReservedParam)
                .detail(format!("`{name}`: {why}"))
                .field(field));
        }
        if name.contains('\0') {
            return Err(Problem::new(Code::NulCharacter).field("params"));
        }
        // Whether the provider is asked to stream; the run's log is a stream either way.
        if name == "stream" && !value.is_boolean() {
            return Err(invalid(&field, "must be true or false"));
        }
        refuse_nul(value, &field)?;
    }
    Ok(params)
}
