//! Errors in the shape of OpenAI's: `{"error": {"message", "type", "param", "code"}}` and the status.
//!
//! The only place that makes such a body. Must never carry a `Retry-After` of its own: that is the script's to ask for.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A request that gets an error instead of an answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: ErrorObject,
}

/// OpenAI's error object; `param` and `code` may be null but are always there.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorObject {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a ErrorObject,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Option<&'static str>, message: impl Into<String>) -> Self {
        let error = ErrorObject {
            message: message.into(),
            r#type: kind(status),
            param: None,
            code,
        };
        Self { status, error }
    }

    /// A 400.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, None, message)
    }

    /// Names the field of the request that is to blame.
    pub(crate) fn about(mut self, param: impl Into<String>) -> Self {
        self.error.param = Some(param.into());
        self
    }

    /// What a provider would answer with that status.
    pub(crate) fn simulated(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::UNAUTHORIZED => Some("invalid_api_key"),
            StatusCode::NOT_FOUND => Some("model_not_found"),
            StatusCode::TOO_MANY_REQUESTS => Some("rate_limit_exceeded"),
            _ => None,
        };
        Self::new(status, code, format!("simulated {status}"))
    }
}

/// The data of an error event in the middle of a stream, and the body of a 200 that is an error.
pub(crate) fn error_in_answer() -> String {
    let error = Refusal::simulated(StatusCode::INTERNAL_SERVER_ERROR).error;
    serde_json::json!({ "error": error }).to_string()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(Envelope { error: &self.error })).into_response()
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}
