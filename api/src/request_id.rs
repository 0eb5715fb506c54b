//! The name of every request: in the answer, in every problem, and in every log line written for it. Also the place
//! where a request's W3C trace context is taken up.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use shared::telemetry::TraceContext;
use tracing::Instrument;
use uuid::Uuid;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest id a client may choose.
const MAX_LEN: usize = 128;

/// The id of a request: the client's own, if it is short and plain, or `req_` and a UUIDv7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    fn fresh() -> Self {
        Self(format!("req_{}", Uuid::now_v7().simple()).into())
    }

    /// The client's id; none when it gave none that can stand in a header and a log line.
    fn of_client(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        ((1..=MAX_LEN).contains(&id.len()) && id.bytes().all(plain)).then(|| Self(id.into()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::fresh))
    }
}

/// Where a request stands in its trace: a child of the client's `traceparent`, or the beginning of a new one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace(pub(crate) TraceContext);

impl Trace {
    fn of_request(headers: &HeaderMap) -> Self {
        let given = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let given: Option<TraceContext> = given.and_then(|text| text.parse().ok());
        Self(given.map_or_else(TraceContext::root, TraceContext::child))
    }
}

impl<S: Sync> FromRequestParts<S> for Trace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get()
            .copied()
            .unwrap_or_else(|| Self::of_request(&parts.headers)))
    }
}

/// Names the request, and everything logged for it. Wraps everything else.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let id = RequestId::of_client(request.headers()).unwrap_or_else(RequestId::fresh);
    let trace = Trace::of_request(request.headers());
    let span = tracing::info_span!(
        "http",
        request_id = %id,
        trace_id = %trace.0.trace_id(),
        method = %request.method(),
        path = request.uri().path(),
        run = tracing::field::Empty,
    );
    // Only plain characters, so it is a header value.
    let header = HeaderValue::from_str(&id.0);
    request.extensions_mut().insert(id);
    request.extensions_mut().insert(trace);
    let mut response = async move {
        let response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    if let Ok(header) = header {
        response.headers_mut().insert(X_REQUEST_ID, header);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, id.parse().unwrap());
        RequestId::of_client(&headers).map(|id| id.to_string())
    }

    #[test]
    fn only_short_and_plain_ids_are_taken_over() {
        assert_eq!(of("trace-1.a:b_c").as_deref(), Some("trace-1.a:b_c"));
        assert_eq!(of(&"x".repeat(MAX_LEN)).map(|id| id.len()), Some(MAX_LEN));
        for bad in ["", "two words", "quote\"", "\"", &"x".repeat(MAX_LEN + 1)] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_ne!(RequestId::fresh(), RequestId::fresh());
    }

    #[test]
    fn a_bad_traceparent_begins_a_new_trace() {
        let mut headers = HeaderMap::new();
        headers.insert(
            TRACEPARENT,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
                .parse()
                .unwrap(),
        );
        assert_eq!(
            Trace::of_request(&headers).0.trace_id(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        headers.insert(TRACEPARENT, "nonsense".parse().unwrap());
        assert_ne!(
            Trace::of_request(&headers).0.trace_id(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
    }
}
