//! Problem documents (RFC 9457), and the only mapping of errors to HTTP. A problem says what the caller may know;
//! what the log keeps is another text, and goes to the log here.
//!
//! Handlers return a [`Problem`]; [`render`], which wraps the whole router, writes it down together with the id of
//! the request.

use std::borrow::Cow;

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use shared::domain::Status;
use shared::ledger::LedgerError;
use shared::watch::WatchError;
use utoipa::ToSchema;

use crate::acceptor::NotAccepted;
use crate::admission::Full;
use crate::request_id::RequestId;

/// The media type of every problem document.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($( $variant:ident = $name:literal, $status:ident, $title:literal; )*) => {
        /// Why a request is refused, for machines: stable, in snake case. Each has one status and one title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code {
            $( #[doc = $title] $variant, )*
        }

        impl Code {
            /// Every code.
            pub(crate) const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The name on the wire.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The status it is answered with.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $( Self::$variant => StatusCode::$status, )* }
            }

            /// What it means, for people; never changes with the occasion.
            pub(crate) const fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )* }
            }
        }
    };
}

codes! {
    InvalidJson = "invalid_json", BAD_REQUEST, "The body is not JSON that can be read";
    InvalidQuery = "invalid_query", BAD_REQUEST, "A query parameter is not usable";
    InvalidHeader = "invalid_header", BAD_REQUEST, "A header is not usable";
    InvalidId = "invalid_id", BAD_REQUEST, "The id does not have the form of an id";
    InvalidCursor = "invalid_cursor", BAD_REQUEST, "The cursor does not have the form of a cursor";
    UnknownCursor = "unknown_cursor", BAD_REQUEST, "The log of this run has no such cursor";
    InvalidIdempotencyKey = "invalid_idempotency_key", BAD_REQUEST, "The idempotency key is not usable";
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid API key is needed";
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, "Without API keys only this machine is let in";
    AdminRequired = "admin_required", FORBIDDEN, "This needs an admin's API key";
    RunNotFound = "run_not_found", NOT_FOUND, "There is no such run";
    NotFound = "not_found", NOT_FOUND, "There is nothing at this path";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This path does not take this method";
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    AlreadyFinished = "already_finished", CONFLICT, "The run has ended";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be application/json";
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED, "This path speaks WebSocket";
    InvalidField = "invalid_field", UNPROCESSABLE_ENTITY, "A field has a value that is not allowed";
    UnknownField = "unknown_field", UNPROCESSABLE_ENTITY, "There is no such field";
    EmptyPrompt = "empty_prompt", UNPROCESSABLE_ENTITY, "There is nothing to answer";
    NulCharacter = "nul_character", UNPROCESSABLE_ENTITY, "A text contains the character NUL";
    FeatureNotAvailable = "feature_not_available", UNPROCESSABLE_ENTITY, "This version cannot do that";
    ContinueNotSupported = "continue_not_supported", UNPROCESSABLE_ENTITY, "No provider can continue an answer";
    UnknownProvider = "unknown_provider", UNPROCESSABLE_ENTITY, "There is no such provider";
    ReservedParam = "reserved_param", UNPROCESSABLE_ENTITY, "This parameter is not passed through";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request";
    NotStorable = "not_storable", UNPROCESSABLE_ENTITY, "The ledger cannot hold this run";
    TenantQueueFull = "tenant_queue_full", TOO_MANY_REQUESTS, "Too many of your runs are queued";
    QueueFull = "queue_full", TOO_MANY_REQUESTS, "Too many runs are queued";
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS, "Too many requests per second";
    Internal = "internal", INTERNAL_SERVER_ERROR, "A defect of this server";
    LedgerUnavailable = "ledger_unavailable", SERVICE_UNAVAILABLE, "The ledger is away";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too much is going on at this moment";
    Draining = "draining", SERVICE_UNAVAILABLE, "This server is shutting down";
}

/// Seconds until it makes sense to try again, said with every problem that waiting may mend.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request is refused. Becomes a response by `?` and [`IntoResponse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    field: Option<String>,
    run_status: Option<Status>,
}

/// The document as it is written: `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// A URI reference that names the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:mcp:problem:invalid_field")]
    kind: String,
    /// What the code means; the same each time.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What happened this time, and what to do.
    detail: Cow<'static, str>,
    /// For machines; stable.
    #[schema(example = "invalid_field")]
    code: &'static str,
    /// The field, parameter or header that is the matter: a path such as `messages[0].role`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// How the run ended (`already_finished`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    run_status: Option<Status>,
    /// The request this answers; also in the header `x-request-id`.
    #[schema(example = "req_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")]
    request_id: String,
    /// The path that was asked for.
    instance: String,
}

impl Problem {
    /// A problem whose detail is its title.
    pub(crate) const fn new(code: Code) -> Self {
        Self {
            code,
            detail: Cow::Borrowed(code.title()),
            field: None,
            run_status: None,
        }
    }

    /// What happened this time.
    pub(crate) fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// Which field, parameter or header is the matter.
    pub(crate) fn field(self, field: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..self
        }
    }

    /// The code.
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// There is no such run, or it is somebody else's: the caller cannot tell which.
    pub(crate) const fn run_not_found() -> Self {
        Self::new(Code::RunNotFound)
    }

    /// The run had ended before it could be cancelled.
    pub(crate) fn already_finished(status: Status) -> Self {
        let problem = Self::new(Code::AlreadyFinished).detail(format!("the run has ended: it is {status}"));
        Self {
            run_status: Some(status),
            ..problem
        }
    }

    /// A defect. `what` goes to the log and not to the caller.
    pub(crate) fn internal(what: &(impl std::fmt::Display + ?Sized)) -> Self {
        tracing::error!(error = %what, "internal error");
        Self::new(Code::Internal).detail("the log has more, under the id of this request")
    }

    /// No new work is taken.
    pub(crate) const fn draining() -> Self {
        Self::new(Code::Draining)
    }

    fn write(self, request_id: &RequestId, instance: &str) -> Response {
        let status = self.code.status();
        let body = ProblemBody {
            kind: format!("urn:mcp:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            detail: self.detail,
            code: self.code.as_str(),
            field: self.field,
            run_status: self.run_status,
            request_id: request_id.to_string(),
            instance: instance.to_owned(),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if self.code == Code::Unauthorized {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="mcp""#),
            );
        }
        response
    }
}

impl IntoResponse for Problem {
    /// A bare response that carries the problem; [`render`] writes the document.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable(what) => {
                tracing::warn!(error = %what, "the ledger is unavailable");
                Self::new(Code::LedgerUnavailable)
                    .detail("the ledger cannot be reached; nothing was lost, try again")
            }
            LedgerError::Refused(what) => {
                tracing::warn!(error = %what, "the ledger refused a row");
                Self::new(Code::NotStorable)
            }
            LedgerError::Corrupt(_) => Self::internal(&error),
        }
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        match full {
            Full::Tenant(limit) => Self::new(Code::TenantQueueFull).detail(format!(
                "{limit} of your runs are queued, as many as may be; try again when some have run"
            )),
            Full::All(limit) => Self::new(Code::QueueFull).detail(format!(
                "{limit} runs are queued, as many as may be; try again when some have run"
            )),
            Full::Unknown(error) => error.into(),
        }
    }
}

impl From<NotAccepted> for Problem {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Overloaded => Self::new(Code::Overloaded),
            NotAccepted::Ledger(error) => error.into(),
            NotAccepted::Lost => Self::internal("a batch was dropped while it was being accepted"),
        }
    }
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::UnknownCursor(cursor) => Self::new(Code::UnknownCursor)
                .detail(format!("the log of this run never had an entry {cursor}"))
                .field("after"),
            WatchError::Ledger(error) => error.into(),
        }
    }
}

/// Writes down the problems of what it wraps. Needs the [`RequestId`] that `request_id::identify` puts in.
pub(crate) async fn render(request_id: RequestId, request: Request, next: Next) -> Response {
    let instance = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => {
            let code = problem.code.as_str();
            tracing::debug!(code, detail = %problem.detail, "refused");
            let allow = response.headers_mut().remove(header::ALLOW);
            let mut written = problem.write(&request_id, &instance);
            // Which methods a path takes is known to the router alone (RFC 9110, 15.5.6).
            written
                .headers_mut()
                .extend(allow.map(|allow| (header::ALLOW, allow)));
            written
        }
        None => response,
    }
}
