//! What failed, told from a status and body, from an error event, from the HTTP client. Texts are still as they came:
//! only `origin` may turn a fault into an error that others see.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::providers::{ErrorKind, Phase};

/// A failure before it is attributed. `detail` and `quote` may still hold what must not be seen.
#[derive(Debug, Clone)]
pub(in crate::providers) struct Fault {
    pub(super) kind: ErrorKind,
    pub(super) detail: String,
    /// The provider's own words.
    pub(super) quote: Option<String>,
    pub(super) final_word: bool,
}

impl Fault {
    pub(in crate::providers) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            quote: None,
            final_word: false,
        }
    }

    pub(in crate::providers) fn interrupted(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, detail)
    }

    pub(in crate::providers) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, detail)
    }

    pub(in crate::providers) fn timeout(phase: Phase) -> Self {
        Self::new(ErrorKind::Timeout(phase), phase.to_string())
    }

    /// The answer, or a part of it, is larger than `what` allows.
    pub(in crate::providers) fn too_large(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, what)
    }

    /// The call asks for what the dialect has no form for, or holds what cannot be written in it. Said before anything
    /// is sent; `why` is for the caller to read and names the field.
    pub(in crate::providers) fn unsupported(why: impl Into<String>) -> Self {
        let mut fault = Self::new(ErrorKind::Rejected { status: 400 }, "not sent");
        fault.quote = Some(why.into());
        fault
    }

    /// JSON that is not what the dialect expects. The error's own text may quote the answer, which is not for the log.
    pub(in crate::providers) fn unreadable(what: &str, json: &[u8], error: &serde_json::Error) -> Self {
        Self::malformed(format!(
            "{} bytes that are not {what}: {:?} error at line {} column {}",
            json.len(),
            error.classify(),
            error.line(),
            error.column()
        ))
    }

    /// The words for the caller, as they came.
    #[cfg(test)]
    pub(in crate::providers) fn quoted(&self) -> String {
        self.quote.clone().unwrap_or_default()
    }

    /// The request could not be sent, or no response came.
    pub(in crate::providers) fn unsent(error: reqwest::Error) -> Self {
        let kind = match (error.is_connect(), error.is_timeout()) {
            (true, true) => ErrorKind::Timeout(Phase::Connect),
            (true, false) => ErrorKind::Connect,
            (false, _) => ErrorKind::Interrupted,
        };
        Self::new(kind, causes(error))
    }

    /// The response broke off.
    pub(in crate::providers) fn cut(error: reqwest::Error) -> Self {
        Self::interrupted(causes(error))
    }

    /// A response that is not a success. `body` is the beginning of what it said.
    pub(in crate::providers) fn refused(
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let detail = if status.is_redirection() {
            format!("status {status}: redirects are not followed, check the base URL")
        } else {
            format!("status {status}")
        };
        let mut fault = Self::new(kind_of(status.as_u16(), retry_after), detail);
        fault.quote = message_in(body);
        fault
    }

    /// The same, taken for another kind: where a status means something of its own.
    pub(in crate::providers) fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// With something added to the provider's own words.
    pub(in crate::providers) fn noting(mut self, note: &str) -> Self {
        self.quote = Some(match self.quote {
            Some(quote) => format!("{quote} ({note})"),
            None => note.to_owned(),
        });
        self
    }

    /// The provider said that trying again is no use.
    pub(in crate::providers) fn final_word(mut self, is: bool) -> Self {
        self.final_word = is;
        self
    }

    /// Found in an event that the end of the stream left open: half a JSON text is a break, not another protocol.
    pub(in crate::providers) fn at_the_end(mut self) -> Self {
        if self.kind == ErrorKind::Malformed {
            self.kind = ErrorKind::Interrupted;
        }
        self
    }

    /// A success whose body is not what was asked for.
    pub(in crate::providers) fn wrong_content(content_type: &str, body: &[u8]) -> Self {
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
    /// OpenAI's and Anthropic's names; one that does neither is a break in the answer.
    pub(in crate::providers) fn reported(error: &Value) -> Self {
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
            _ if [
                "invalid_request_error",
                "context_length_exceeded",
                "content_filter",
            ]
            .into_iter()
            .any(named) =>
            {
                Some(400)
            }
            _ if named("billing_error") => Some(402),
            _ if named("authentication_error") || named("invalid_api_key") => Some(401),
            _ if named("permission_error") => Some(403),
            _ if named("not_found_error") => Some(404),
            _ if named("request_too_large") => Some(413),
            _ if named("server_error") || named("api_error") => Some(500),
            _ if named("overloaded_error") => Some(503),
            _ if named("timeout_error") => Some(504),
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
        // Gemini wraps a stream's refusal in a list.
        let value = value.get(0).unwrap_or(&value);
        let said = value
            .get("error")
            .and_then(message_of)
            .or_else(|| message_of(value));
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

/// The message of an error object: OpenAI's `message`, FastAPI's `detail`, Cloudflare's `errors`, or a bare string.
fn message_of(error: &Value) -> Option<String> {
    let said = ["message", "detail", "errors"]
        .iter()
        .find_map(|field| error.get(field))
        .unwrap_or(error);
    match said {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(items) => {
            let first = items.first()?;
            let said = first.get("msg").or_else(|| first.get("message"))?;
            said.as_str().map(str::to_owned)
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::origin::tests::{called, origin, refused};
    use super::*;

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
        let origin = origin();
        assert!(!origin.explain(fault, &called(&origin)).retryable());
    }

    #[test]
    fn the_providers_words_are_found() {
        let bodies = [
            (
                r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#,
                "no such model",
            ),
            (r#"{"error":"no such model"}"#, "no such model"),
            (
                r#"[{"error":{"code":404,"message":"no such model"}}]"#,
                "no such model",
            ),
            (r#"{"object":"error","message":"no such model"}"#, "no such model"),
            (
                r#"{"detail":[{"loc":["body"],"msg":"no such model"}]}"#,
                "no such model",
            ),
            (
                r#"{"success":false,"errors":[{"code":7,"message":"no such model"}]}"#,
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
