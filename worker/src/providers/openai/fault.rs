//! Explains failures: from a status and body, from an error event, from the HTTP client - to a [`ProviderError`].
//!
//! Whatever text a provider sends passes through [`Origin::explain`], which takes the API key out and cuts it short.
//! No other place may turn a provider's text into an error.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::providers::{ErrorKind, Phase, ProviderError};

/// Texts from outside are cut to so many characters.
const LONGEST_TEXT: usize = 600;
/// So many first characters of a key give it away: providers echo keys with the middle masked.
const TELLING_PREFIX: usize = 8;
const REDACTED: &str = "[redacted]";

/// A failure before it is attributed. `detail` and `quote` may still hold what must not be seen.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    kind: ErrorKind,
    detail: String,
    /// The provider's own words.
    quote: Option<String>,
    final_word: bool,
}

impl Fault {
    pub(super) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            quote: None,
            final_word: false,
        }
    }

    pub(super) fn interrupted(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, detail)
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, detail)
    }

    pub(super) fn timeout(phase: Phase) -> Self {
        Self::new(ErrorKind::Timeout(phase), phase.to_string())
    }

    /// The answer, or a part of it, is larger than `what` allows.
    pub(super) fn too_large(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, what)
    }

    /// The request could not be sent, or no response came.
    pub(super) fn unsent(error: reqwest::Error) -> Self {
        let kind = match (error.is_connect(), error.is_timeout()) {
            (true, true) => ErrorKind::Timeout(Phase::Connect),
            (true, false) => ErrorKind::Connect,
            (false, _) => ErrorKind::Interrupted,
        };
        Self::new(kind, causes(error))
    }

    /// The response broke off.
    pub(super) fn cut(error: reqwest::Error) -> Self {
        Self::interrupted(causes(error))
    }

    /// A response that is not a success. `body` is the beginning of what it said.
    pub(super) fn refused(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let detail = if status.is_redirection() {
            format!("status {status}: redirects are not followed, check the base URL")
        } else {
            format!("status {status}")
        };
        let mut fault = Self::new(kind_of(status.as_u16(), retry_after), detail);
        fault.quote = message_in(body);
        fault
    }

    /// The provider said that trying again is no use.
    pub(super) fn final_word(mut self, is: bool) -> Self {
        self.final_word = is;
        self
    }

    /// Found in an event that the end of the stream left open: half a JSON text is a break, not another protocol.
    pub(super) fn at_the_end(mut self) -> Self {
        if self.kind == ErrorKind::Malformed {
            self.kind = ErrorKind::Interrupted;
        }
        self
    }

    /// A success whose body is not what was asked for.
    pub(super) fn wrong_content(content_type: &str, body: &[u8]) -> Self {
        if let Ok(value) = serde_json::from_slice::<Value>(body)
            && let Some(error) = value.get("error").filter(|error| !error.is_null())
        {
            return Self::reported(error);
        }
        let mut fault = Self::malformed(format!("answered with content type {content_type:?}"));
        fault.quote = message_in(body);
        fault
    }

    /// An error that came instead of a part of the answer. It says what it is by a number (`code`, `status`) or by
    /// OpenAI's names; one that does neither is a break in the answer.
    pub(super) fn reported(error: &Value) -> Self {
        let number = ["status", "status_code", "code"].iter().find_map(|name| {
            let value = error.get(name)?;
            value.as_u64().or_else(|| value.as_str()?.parse().ok())
        });
        let named = |name: &str| {
            ["type", "code"]
                .iter()
                .any(|field| error.get(field).and_then(Value::as_str) == Some(name))
        };
        let status = match number.and_then(|number| u16::try_from(number).ok()) {
            Some(status @ 400..=599) => Some(status),
            _ if ["rate_limit_exceeded", "rate_limit_error", "tokens", "requests"]
                .into_iter()
                .any(named) =>
            {
                Some(429)
            }
            _ if named("invalid_request_error") || named("context_length_exceeded") => Some(400),
            _ if named("authentication_error") || named("invalid_api_key") => Some(401),
            _ if named("server_error") || named("api_error") => Some(500),
            _ if named("overloaded_error") => Some(503),
            _ => None,
        };
        let kind = status.map_or(ErrorKind::Interrupted, |status| kind_of(status, None));
        let mut fault = Self::new(kind, "it reported an error in place of an answer");
        fault.quote = Some(message_of(error).unwrap_or_else(|| error.to_string()));
        fault
    }
}

fn kind_of(status: u16, retry_after: Option<Duration>) -> ErrorKind {
    match status {
        429 => ErrorKind::RateLimited { retry_after },
        401 | 403 => ErrorKind::Unauthorized { status },
        408 | 425 | 500.. => ErrorKind::Server { status, retry_after },
        _ => ErrorKind::Rejected { status },
    }
}

/// An error with its causes, without the URL (which the configuration may hold a secret in).
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// What an error body says: the message of a JSON one, the title of an HTML page, else its first line.
fn message_in(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let said = value
            .get("error")
            .and_then(message_of)
            .or_else(|| message_of(&value));
        return Some(said.unwrap_or_else(|| value.to_string()));
    }
    if text.starts_with('<') {
        return Some(match title_of(text) {
            Some(title) => format!("an HTML page titled {title:?}"),
            None => "an HTML page".to_owned(),
        });
    }
    text.lines().next().map(str::to_owned)
}

/// The message of an error object: OpenAI's `message`, FastAPI's `detail`, or a bare string.
fn message_of(error: &Value) -> Option<String> {
    let said = error
        .get("message")
        .or_else(|| error.get("detail"))
        .unwrap_or(error);
    match said {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(items) => items.first()?.get("msg")?.as_str().map(str::to_owned),
        _ => None,
    }
}

fn title_of(html: &str) -> Option<&str> {
    // ASCII only, so that positions stay those of the original.
    let lower = html.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let begin = open + lower[open..].find('>')? + 1;
    let end = begin + lower[begin..].find("</title")?;
    Some(html[begin..end].trim()).filter(|title| !title.is_empty())
}

/// Who a failure is attributed to, and what must not be said about them.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) provider: Arc<str>,
    pub(super) api_key: Option<SecretString>,
    pub(super) api_key_env: Option<String>,
}

impl Origin {
    /// The failure as the engine, the log and the caller may see it.
    pub(super) fn explain(&self, fault: Fault, request_id: Option<&str>) -> ProviderError {
        ProviderError::new(Arc::clone(&self.provider), fault.kind, self.clean(&fault.detail))
            .quoting(fault.quote.map(|quote| self.clean(&quote)))
            .request_id(request_id.map(|id| self.clean(id)))
            .key_from(self.api_key_env.clone())
            .final_word(fault.final_word)
    }

    /// The text without the key, without control characters, and short.
    fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(key) = self
            .api_key
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .filter(|key| !key.is_empty())
        {
            text = text.replace(key, REDACTED);
            if let Some(prefix) = key.get(..TELLING_PREFIX) {
                text = without_words_beginning(&text, prefix);
            }
        }
        let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
        let mut short: String = text.chars().map(printable).take(LONGEST_TEXT).collect();
        if text.chars().nth(LONGEST_TEXT).is_some() {
            short.push('…');
        }
        short
    }
}

fn without_words_beginning(text: &str, prefix: &str) -> String {
    let mut rest = text;
    let mut clean = String::with_capacity(text.len());
    while let Some(at) = rest.find(prefix) {
        clean.push_str(&rest[..at]);
        clean.push_str(REDACTED);
        let word = &rest[at..];
        let end =
            word.find(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | ',' | ')'));
        rest = &word[end.unwrap_or(word.len())..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origin() -> Origin {
        Origin {
            provider: Arc::from("acme"),
            api_key: Some("sk-proj-0123456789abcdef".into()),
            api_key_env: Some("ACME_API_KEY".to_owned()),
        }
    }

    fn refused(status: u16, body: &str) -> ProviderError {
        let status = StatusCode::from_u16(status).unwrap();
        origin().explain(Fault::refused(status, None, body.as_bytes()), Some("req-1"))
    }

    #[test]
    fn statuses_decide_whether_to_retry() {
        let outcomes = [
            (400, false),
            (401, false),
            (403, false),
            (404, false),
            (408, true),
            (409, false),
            (422, false),
            (425, true),
            (429, true),
            (500, true),
            (502, true),
            (529, true),
            (302, false),
        ];
        for (status, retryable) in outcomes {
            assert_eq!(refused(status, "").retryable(), retryable, "{status}");
        }
        let fault = Fault::refused(StatusCode::SERVICE_UNAVAILABLE, None, b"").final_word(true);
        assert!(!origin().explain(fault, None).retryable());
    }

    #[test]
    fn the_providers_words_are_found() {
        let bodies = [
            (
                r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#,
                "no such model",
            ),
            (r#"{"error":"no such model"}"#, "no such model"),
            (r#"{"object":"error","message":"no such model"}"#, "no such model"),
            (
                r#"{"detail":[{"loc":["body"],"msg":"no such model"}]}"#,
                "no such model",
            ),
            (
                "<!doctype html><html><HEAD><Title>502 Bad\nGateway</title>",
                "an HTML page titled \"502 Bad\\nGateway\"",
            ),
            ("<html>\u{130}<title", "an HTML page"),
            ("no such model\nat line 7", "no such model"),
            (r#"{"code":7}"#, r#"{"code":7}"#),
        ];
        for (body, said) in bodies {
            assert_eq!(
                refused(404, body).public_message(),
                format!("The provider acme refused the request (status 404): {said}")
            );
            assert_eq!(
                refused(404, body).to_string(),
                format!("acme: provider_rejected: status 404 Not Found; it said: {said} (request id req-1)")
            );
        }
    }

    #[test]
    fn the_key_is_never_repeated() {
        let body = json!({"error": {"message": "Incorrect API key provided: sk-proj-0123456789abcdef, \
            \"sk-proj-****cdef\" and sk-proj-01. See the page."}});
        let error = refused(401, &body.to_string());
        for text in [error.to_string(), error.public_message(), format!("{error:?}")] {
            assert!(!text.contains("sk-proj"), "{text}");
            assert!(!text.contains("cdef"), "{text}");
            assert!(text.contains("ACME_API_KEY"), "{text}");
        }
        assert!(error.to_string().contains("See the page."), "{error}");
        let rejected = refused(400, "bad header Bearer sk-proj-0123456789abcdef").public_message();
        assert!(rejected.ends_with("bad header Bearer [redacted]"), "{rejected}");
    }

    #[test]
    fn texts_are_cut_and_kept_on_one_line() {
        let long = refused(
            400,
            &json!({"error": {"message": format!("a\nb{}", "é".repeat(9_999))}}).to_string(),
        );
        let message = long.public_message();
        assert!(message.contains("a b"), "{message}");
        assert!(message.chars().count() < LONGEST_TEXT + 100);
    }

    #[test]
    fn error_events_say_what_they_are() {
        let kinds = [
            (
                json!({"code": 502, "message": "x"}),
                ErrorKind::Server {
                    status: 502,
                    retry_after: None,
                },
            ),
            (
                json!({"code": "429", "message": "x"}),
                ErrorKind::RateLimited { retry_after: None },
            ),
            (
                json!({"type": "rate_limit_exceeded"}),
                ErrorKind::RateLimited { retry_after: None },
            ),
            (
                json!({"code": "context_length_exceeded"}),
                ErrorKind::Rejected { status: 400 },
            ),
            (
                json!({"type": "server_error", "code": null}),
                ErrorKind::Server {
                    status: 500,
                    retry_after: None,
                },
            ),
            (json!({"code": 7, "message": "x"}), ErrorKind::Interrupted),
            (json!("gone"), ErrorKind::Interrupted),
        ];
        for (error, kind) in kinds {
            assert_eq!(Fault::reported(&error).kind, kind, "{error}");
        }
    }
}
