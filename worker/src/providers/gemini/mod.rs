//! The Gemini dialect: `generateContent`, and `streamGenerateContent` as server-sent events. Source: "Generating
//! content", "Function calling", "Thinking", "Thought signatures" and "Structured outputs" in Google's Gemini API
//! documentation (ai.google.dev), and what Google's own OpenAI-compatible endpoint makes of the same fields ("OpenAI
//! compatibility" there).
//!
//! `request` writes the body, whose conversation is `contents`' business; `answer` reads what comes back, whose count
//! of tokens is `usage`'s.
//!
//! - Instructions (`system`, `developer`) have one place, before the conversation. Those from its middle go there too,
//!   in their order: their authority is kept, their place is not.
//! - Thoughts come out as `reasoning_content`, and are not sent back. What has to be sent back is their signature: it
//!   comes as `extra_content.google.thought_signature`, in a tool call or beside the answer, where Google's compatible
//!   endpoint puts it too, and is found there in the next turn's messages. Gemini 3 refuses a call without any, so one
//!   that another provider made gets the signature that Google documents for this.
//! - Left out for want of a form: a function's `strict`, an image's `detail`, and what
//!   `canonical` says may always be left out. Refused: what it refuses, `logit_bias`, `parallel_tool_calls: false`.
//! - Parameters that are not OpenAI's (`safetySettings`, `cachedContent`, fields of `generationConfig`) pass through;
//!   ours win. So do tools that are not functions: `{"type": "google_search"}` is Gemini's `{"google_search": {}}`.
//! - Ids of calls go back as they came, unless the server has no field for them (`call_ids`), as Vertex AI has none:
//!   results stand in the order of their calls.
//! - The model may be given the beginning of its answer, as a last turn of its own.

mod answer;
mod contents;
mod request;
mod usage;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use shared::catalog::Quirks;

use super::ChatCall;
use super::canonical;
use super::dialect::{Dialect, Outgoing, ReadAnswer};
use super::wire::{Endpoint, Fault};

/// Google's Gemini API.
#[derive(Debug)]
pub(super) struct Gemini {
    quirks: Quirks,
}

impl Gemini {
    /// With the peculiarities of one server.
    pub(super) fn new(quirks: Quirks) -> Self {
        Self { quirks }
    }
}

impl Dialect for Gemini {
    fn request(&self, call: &ChatCall<'_>, endpoint: &Endpoint) -> Result<Outgoing, Fault> {
        let kept = canonical::kept(call.params, &self.quirks);
        let call = canonical::without_dropped(call, &self.quirks, &kept);
        Ok(Outgoing {
            url: address(&call, endpoint),
            headers: Vec::new(),
            body: request::body(&call, &self.quirks)?,
        })
    }

    fn reader(&self, _call: &ChatCall<'_>) -> Box<dyn ReadAnswer> {
        Box::new(answer::Reader::default())
    }

    fn can_continue(&self, model: &str) -> bool {
        name_of(model).starts_with("gemini-")
    }

    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
        let details = Details::read(body);
        // Google calls a key it does not know a bad request.
        let status = if details.unknown_key {
            StatusCode::UNAUTHORIZED
        } else {
            status
        };
        Fault::refused(status, retry_after.or(details.retry_after), body)
    }
}

/// `models/NAME` may be said with its collection; tuned models are in another.
fn address(call: &ChatCall<'_>, endpoint: &Endpoint) -> reqwest::Url {
    let method = if call.stream {
        "streamGenerateContent"
    } else {
        "generateContent"
    };
    let (collection, name) = call.model.split_once('/').unwrap_or(("models", call.model));
    let mut url = endpoint.below([collection, &format!("{name}:{method}")]);
    if call.stream {
        url.query_pairs_mut().append_pair("alt", "sse");
    }
    url
}

/// The name of a model without its collection.
fn name_of(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

/// What stands in `error.details` of a refusal (google.rpc.Status) and no other place says.
#[derive(Debug, Default, PartialEq)]
struct Details {
    unknown_key: bool,
    retry_after: Option<Duration>,
}

impl Details {
    fn read(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let details = &body.get(0).unwrap_or(&body)["error"]["details"];
        let all = || details.as_array().into_iter().flatten();
        Self {
            unknown_key: all().any(|detail| detail["reason"] == "API_KEY_INVALID"),
            retry_after: all().find_map(|detail| seconds(detail["retryDelay"].as_str()?)),
        }
    }
}

/// A duration as protocol buffers write it in JSON: `34.4s`. The longest wait is a matter of those who wait.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusals_details() {
        let details =
            |details: Value| Details::read(json!({"error": {"details": details}}).to_string().as_bytes());
        let asked = details(json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]));
        assert_eq!(asked.retry_after, Some(Duration::from_millis(34_400)));
        assert!(!asked.unknown_key);
        let key = details(
            json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]),
        );
        assert!(key.unknown_key && key.retry_after.is_none());
        for nothing in [
            json!([{"retryDelay": "soon"}]),
            json!([{"retryDelay": "-1s"}]),
            json!("no"),
        ] {
            assert_eq!(details(nothing), Details::default());
        }
        let listed = json!([{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}]);
        assert!(Details::read(listed.to_string().as_bytes()).unknown_key);
        assert_eq!(Details::read(b"<html>"), Details::default());
    }
}
