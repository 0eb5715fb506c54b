//! Request bodies: read within bounds, parsed with the place of every mistake. What cannot be used is refused here,
//! before anybody looks at what it means.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Query, Request};
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::{Code, Problem};

/// A body has to be here by then.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Bodies of the largest size that may be held at the same time.
const BODIES_HELD: usize = 16;
/// The unit in which held bytes are counted.
const KIB: usize = 1_024;

/// Bounds what all bodies together may hold in memory: one body's size, and the size of all.
#[derive(Clone)]
pub(crate) struct BodyBudget {
    max_body_bytes: usize,
    kib: Arc<Semaphore>,
}

impl BodyBudget {
    /// For bodies of at most so many bytes.
    pub(crate) fn new(max_body_bytes: usize) -> Self {
        let kib = max_body_bytes
            .div_ceil(KIB)
            .saturating_mul(BODIES_HELD)
            .min(Semaphore::MAX_PERMITS);
        Self {
            max_body_bytes,
            kib: Arc::new(Semaphore::new(kib)),
        }
    }

    /// Reads a body whole. One that is too large is read on for a while and thrown away: clients that are still
    /// sending would otherwise see a broken connection instead of the answer.
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<(Vec<u8>, Held), Problem> {
        let too_large = || {
            Problem::new(Code::BodyTooLarge)
                .detail(format!("a body may have at most {} bytes", self.max_body_bytes))
        };
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let patience = self.max_body_bytes.saturating_mul(2);
        if declared.is_some_and(|declared: usize| declared > patience) {
            return Err(too_large());
        }
        let mut chunks = body.into_data_stream();
        let mut bytes = Vec::new();
        let mut held = Held(None);
        let mut seen = 0_usize;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Problem::new(Code::InvalidJson).detail("the body broke off"))?;
            seen = seen.saturating_add(chunk.len());
            if seen > patience {
                break;
            }
            if seen <= self.max_body_bytes {
                held.grow(self, seen)?;
                bytes.extend_from_slice(&chunk);
            } else {
                bytes = Vec::new();
                held = Held(None);
            }
        }
        if seen > self.max_body_bytes {
            Err(too_large())
        } else {
            Ok((bytes, held))
        }
    }
}

/// The share of the budget that a body takes. Dropped once what was made of the body is no longer in memory.
#[derive(Debug)]
pub(crate) struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    fn grow(&mut self, budget: &BodyBudget, bytes: usize) -> Result<(), Problem> {
        let have = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(KIB).saturating_sub(have);
        let overloaded = || {
            Problem::new(Code::Overloaded)
                .detail("too many large requests are being read; try again in a moment")
        };
        let more = u32::try_from(more).map_err(|_| overloaded())?;
        let more = Arc::clone(&budget.kib)
            .try_acquire_many_owned(more)
            .map_err(|_| overloaded())?;
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            None => self.0 = Some(more),
        }
        Ok(())
    }
}

/// A JSON body of the form `T`, with its share of the budget.
#[derive(Debug)]
pub(crate) struct ValidJson<T>(pub(crate) T, pub(crate) Held);

impl<T, S> FromRequest<S> for ValidJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
    BodyBudget: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Problem::new(Code::UnsupportedMediaType)
                .detail("send the body as JSON, with `Content-Type: application/json`")
                .field("content-type"));
        }
        let budget = BodyBudget::from_ref(state);
        let (bytes, held) = timeout(ARRIVAL, budget.read(&parts.headers, body))
            .await
            .map_err(|_| Problem::new(Code::BodyTimeout))??;
        Ok(Self(parse(&bytes)?, held))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(media_type) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    // JSON is UTF-8 (RFC 8259, 8.1); another charset would be misread.
    let utf8 = parts
        .filter_map(|parameter| parameter.split_once('='))
        .all(|(name, value)| {
            !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
    essence.eq_ignore_ascii_case("application/json") && utf8
}

/// Parses JSON text whole; mistakes say where they are.
///
/// # Errors
/// `invalid_json` for what is not JSON, `unknown_field` and `invalid_field` for JSON of another form.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::new(Code::InvalidJson).detail(format!("not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refused(&error.path().to_string(), error.inner()))?;
    deserializer.end().map_err(|error| refused("", &error))?;
    Ok(value)
}

/// The problem with JSON text, or with the value at `path` in it.
pub(crate) fn refused(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Code::InvalidJson).detail(error.to_string());
    }
    let message = error.to_string();
    // serde has no other way to tell these two apart than by their text; a test holds on to it.
    let code = if message.starts_with("unknown field") {
        Code::UnknownField
    } else {
        Code::InvalidField
    };
    let problem = Problem::new(code).detail(message);
    if path.is_empty() || path == "." {
        problem
    } else {
        problem.field(path)
    }
}

/// A query string of the form `T`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValidQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let detail =
                    std::error::Error::source(&rejection).map_or_else(String::new, ToString::to_string);
                Err(Problem::new(Code::InvalidQuery).detail(detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "items")]
        _items: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "count")]
        _count: u8,
    }

    #[test]
    fn mistakes_say_what_and_where() {
        let code = |body: &[u8]| parse::<Outer>(body).unwrap_err().code();
        assert!(parse::<Outer>(br#"{"items":[{"count":1}]}"#).is_ok());
        for syntax in [
            &b""[..],
            b"{",
            b"{\"items\":[]} trailing",
            b"\xff\xfe",
            br#"{"items":["\ud800"]}"#,
            br#"{"items":[{"count":1e999}]}"#,
        ] {
            assert_eq!(
                code(syntax),
                Code::InvalidJson,
                "{}",
                String::from_utf8_lossy(syntax)
            );
        }
        assert_eq!(code(br#"{"items":[],"x":1}"#), Code::UnknownField);
        assert_eq!(code(br#"{}"#), Code::InvalidField);
        let wrong = parse::<Outer>(br#"{"items":[{"count":1},{"count":300}]}"#).unwrap_err();
        assert_eq!(wrong, wrong.clone().field("items[1].count"));
        assert_eq!(wrong.code(), Code::InvalidField);
    }

    #[test]
    fn only_json_in_utf8_is_read() {
        let is = |value: &str| {
            is_json(&HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                value.parse().unwrap(),
            )]))
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(is(good), "{good}");
        }
        for bad in [
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
            "",
        ] {
            assert!(!is(bad), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn bodies_that_are_too_large_and_too_many_are_refused_and_the_budget_comes_back() {
        let budget = BodyBudget::new(KIB);
        let read = async |size: usize| budget.read(&HeaderMap::new(), Body::from(vec![b'x'; size])).await;
        assert_eq!(read(KIB + 1).await.unwrap_err().code(), Code::BodyTooLarge);
        assert_eq!(budget.kib.available_permits(), BODIES_HELD);
        let mut bodies = Vec::new();
        for _ in 0..BODIES_HELD {
            bodies.push(read(KIB).await.unwrap());
        }
        assert_eq!(read(1).await.unwrap_err().code(), Code::Overloaded);
        bodies.pop();
        assert!(read(KIB).await.is_ok());
        drop(bodies);
        assert_eq!(budget.kib.available_permits(), BODIES_HELD);
    }
}
