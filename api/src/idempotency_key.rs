//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header): what makes a repeated submit the same
//! run. Opaque; only its form is checked here.

use axum::extract::FromRequestParts;
use http::HeaderName;
use http::request::Parts;

use crate::problem::{Code, Problem};

const NAME: &str = "idempotency-key";
const MAX_LEN: usize = 255;

/// The key, if the client sent one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refused = |why: &'static str| Problem::new(Code::InvalidIdempotencyKey).detail(why).field(NAME);
        let mut sent = parts.headers.get_all(HeaderName::from_static(NAME)).iter();
        let Some(key) = sent.next() else {
            return Ok(Self(None));
        };
        if sent.next().is_some() {
            return Err(refused("only one key can be sent"));
        }
        let plain =
            |key: &&[u8]| (1..=MAX_LEN).contains(&key.len()) && key.iter().all(|b| (b' '..=b'~').contains(b));
        let key = Some(key.as_bytes())
            .filter(plain)
            .and_then(|key| std::str::from_utf8(key).ok());
        match key {
            Some(key) => Ok(Self(Some(key.to_owned()))),
            None => Err(refused("expected 1 to 255 printable ASCII characters")),
        }
    }
}
