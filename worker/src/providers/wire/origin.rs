//! Explains failures to those outside: as a [`ProviderError`], attributed to a provider, a key and a request.
//!
//! Whatever text a provider sends passes through [`Origin::explain`], which takes the API keys out and cuts it short.
//! No other place may turn a provider's text into an error.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::access_token::AccessTokens;
use super::fault::Fault;
use super::keys::{KeyIndex, Keys};
use crate::providers::{ErrorKind, Headroom, ProviderError};

/// Texts from outside are cut to so many characters.
const LONGEST_TEXT: usize = 600;
/// So many first characters of a key give it away: providers echo keys with the middle masked.
const TELLING_PREFIX: usize = 8;
const REDACTED: &str = "[redacted]";

/// Who a failure is attributed to, and what must not be said about them.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) provider: Arc<str>,
    pub(super) keys: Keys,
    /// As they were given, and what stands in for them, to be found in texts.
    pub(super) api_keys: Vec<SecretString>,
    /// Where keys come from that last for a while.
    pub(super) tokens: Option<AccessTokens>,
    pub(super) api_key_env: Option<String>,
}

/// What is known of one call when it fails.
#[derive(Debug)]
pub(super) struct Circumstances {
    pub(super) key: KeyIndex,
    pub(super) request_id: Option<String>,
    pub(super) headroom: Headroom,
    /// Whether the simulator is called.
    pub(super) simulated: bool,
}

impl Circumstances {
    /// Of a call that was not answered.
    pub(super) fn unanswered(key: KeyIndex) -> Self {
        Self {
            key,
            request_id: None,
            headroom: Headroom::default(),
            simulated: false,
        }
    }
}

impl Origin {
    /// The failure as the engine, the log and the caller may see it. A key that turns out to be unknown loses its
    /// turn.
    pub(super) fn explain(&self, fault: Fault, circumstances: &Circumstances) -> ProviderError {
        let unknown_key = fault.kind == ErrorKind::Unauthorized { status: 401 };
        let other_keys = unknown_key && self.keys.refused(circumstances.key);
        let request_id = circumstances.request_id.as_deref();
        ProviderError::new(Arc::clone(&self.provider), fault.kind, self.clean(&fault.detail))
            .quoting(fault.quote.map(|quote| self.clean(&quote)))
            .request_id(request_id.map(|id| self.clean(id)))
            .key_from(self.api_key_env.clone())
            .used_key(circumstances.key, other_keys)
            .headroom_left(circumstances.headroom)
            .final_word(fault.final_word)
    }

    /// The text without the keys, without control characters, and short.
    fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let token = self.tokens.as_ref().and_then(AccessTokens::secret);
        let keys = self
            .api_keys
            .iter()
            .chain(&token)
            .map(ExposeSecret::expose_secret);
        for key in keys.filter(|key| !key.is_empty()) {
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
pub(super) mod tests {
    use reqwest::StatusCode;
    use serde_json::json;
    use shared::catalog::Auth;

    use super::*;

    const KEY: &str = "sk-proj-0123456789abcdef";

    pub(in super::super) fn origin() -> Origin {
        with_keys(&[KEY])
    }

    fn with_keys(keys: &[&str]) -> Origin {
        let api_keys: Vec<SecretString> = keys.iter().map(|key| (*key).into()).collect();
        Origin {
            provider: Arc::from("acme"),
            keys: Keys::new(&Auth::Bearer, &api_keys).unwrap(),
            api_keys,
            tokens: None,
            api_key_env: Some("ACME_API_KEY".to_owned()),
        }
    }

    pub(in super::super) fn called(origin: &Origin) -> Circumstances {
        Circumstances {
            request_id: Some("req-1".to_owned()),
            ..Circumstances::unanswered(origin.keys.in_turn())
        }
    }

    pub(in super::super) fn refused(status: u16, body: &str) -> ProviderError {
        let status = StatusCode::from_u16(status).unwrap();
        let origin = origin();
        origin.explain(Fault::refused(status, None, body.as_bytes()), &called(&origin))
    }

    #[test]
    fn an_unknown_key_is_worth_a_retry_while_there_is_another() {
        let origin = with_keys(&["sk-live-9876543210", KEY]);
        let refused = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            origin.explain(
                Fault::refused(status, None, b"no sk-live-9876543210"),
                &called(&origin),
            )
        };
        assert!(!refused(403).retryable(), "the key is known, and may not");
        let first = refused(401);
        assert!(first.retryable());
        assert!(!first.to_string().contains("9876543210"), "{first}");
        let second = refused(401);
        assert!(!second.retryable());
        assert_ne!(first.key(), second.key());
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
}
