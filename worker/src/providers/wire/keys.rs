//! Which of a provider's keys a call is made with. They take turns; one that was refused is passed over while there
//! are others. Knows nothing of rate limits: whoever paces the keys says which may be used.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use shared::catalog::Auth;

/// How long a refused key is passed over. A revoked key stays revoked, and trying it costs a call each time; but an
/// outage of the provider's authentication must not narrow us to one key for ever.
const PASSED_OVER: Duration = Duration::from_secs(600);

/// One of a provider's keys, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(usize);

impl KeyIndex {
    /// Its place among the keys of the settings that are not empty, from 0. A provider without keys has one place, where nothing is sent.
    #[must_use]
    pub fn position(self) -> usize {
        self.0
    }
}

/// A provider's keys, ready to be sent.
#[derive(Debug)]
pub(super) struct Keys {
    header: Option<HeaderName>,
    keys: Vec<Key>,
    turn: AtomicUsize,
    born: Instant,
}

#[derive(Debug)]
struct Key {
    /// Sensitive, so that it is never shown. None where nothing is sent.
    value: Option<HeaderValue>,
    /// Milliseconds since `born` until which it is passed over; 0 when it was not refused.
    passed_over_until: AtomicU64,
}

/// Why keys cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadKeys {
    /// The header for them is not one.
    Header(String),
    /// A key holds what no header may hold.
    Value,
}

impl Keys {
    /// Makes keys ready to be sent this way. Empty ones count as absent.
    pub(super) fn new(auth: &Auth, keys: &[SecretString]) -> Result<Self, BadKeys> {
        let (header, prefix) = match auth {
            Auth::Bearer => (Some(AUTHORIZATION), "Bearer "),
            Auth::Header(name) => {
                let header = name.parse().map_err(|_| BadKeys::Header(name.clone()))?;
                (Some(header), "")
            }
            Auth::None => (None, ""),
        };
        let present = keys.iter().map(ExposeSecret::expose_secret);
        let mut ready = Vec::new();
        for key in present.filter(|key| !key.is_empty() && header.is_some()) {
            let mut value = HeaderValue::from_str(&format!("{prefix}{key}")).map_err(|_| BadKeys::Value)?;
            value.set_sensitive(true);
            ready.push(Key::new(Some(value)));
        }
        if ready.is_empty() {
            ready.push(Key::new(None));
        }
        Ok(Self {
            header,
            keys: ready,
            turn: AtomicUsize::new(0),
            born: Instant::now(),
        })
    }

    /// Every key, in the order of the settings.
    pub(super) fn all(&self) -> impl Iterator<Item = KeyIndex> + use<> {
        (0..self.keys.len()).map(KeyIndex)
    }

    /// The next key in turn that is admitted and was not refused lately; a refused one only when all were.
    pub(super) fn next(&self, mut admitted: impl FnMut(KeyIndex) -> bool) -> Option<KeyIndex> {
        let now = self.now();
        let count = self.keys.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let all_refused = self.keys.iter().all(|key| key.is_passed_over(now));
        (first..first + count)
            .map(|at| at % count)
            .filter(|at| all_refused || !self.keys[*at].is_passed_over(now))
            .map(KeyIndex)
            .find(|key| admitted(*key))
    }

    /// The next key in turn, whoever paces it.
    pub(super) fn in_turn(&self) -> KeyIndex {
        self.next(|_| true).unwrap_or(KeyIndex(0))
    }

    /// Adds the key to a request's headers.
    pub(super) fn sign(&self, index: KeyIndex, headers: &mut HeaderMap) {
        if let (Some(header), Some(key)) = (&self.header, self.keys.get(index.0))
            && let Some(value) = &key.value
        {
            headers.insert(header, value.clone());
        }
    }

    /// The provider took the key.
    pub(super) fn accepted(&self, index: KeyIndex) {
        if let Some(key) = self.keys.get(index.0)
            && key.passed_over_until.load(Ordering::Relaxed) != 0
        {
            key.passed_over_until.store(0, Ordering::Relaxed);
        }
    }

    /// The provider does not know the key. Whether there are others it did not refuse.
    pub(super) fn refused(&self, index: KeyIndex) -> bool {
        let now = self.now();
        if let Some(key) = self.keys.get(index.0) {
            let until = now + PASSED_OVER;
            key.passed_over_until.store(millis(until), Ordering::Relaxed);
        }
        self.keys.iter().any(|key| !key.is_passed_over(now))
    }

    fn now(&self) -> Duration {
        self.born.elapsed()
    }
}

impl Key {
    fn new(value: Option<HeaderValue>) -> Self {
        Self {
            value,
            passed_over_until: AtomicU64::new(0),
        }
    }

    fn is_passed_over(&self, now: Duration) -> bool {
        millis(now) < self.passed_over_until.load(Ordering::Relaxed)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: usize) -> Keys {
        let keys: Vec<SecretString> = (0..count).map(|at| format!("k-{at}").into()).collect();
        Keys::new(&Auth::Bearer, &keys).unwrap()
    }

    fn turns(keys: &Keys, count: usize) -> Vec<usize> {
        (0..count)
            .filter_map(|_| keys.next(|_| true))
            .map(KeyIndex::position)
            .collect()
    }

    #[test]
    fn keys_take_turns_and_refused_ones_are_passed_over() {
        let keys = keys(3);
        assert_eq!(turns(&keys, 6), [0, 1, 2, 0, 1, 2]);
        assert!(keys.refused(KeyIndex(1)), "two are left");
        assert_eq!(turns(&keys, 6), [0, 2, 2, 0, 2, 2]);
        assert!(keys.refused(KeyIndex(0)));
        assert_eq!(turns(&keys, 3), [2, 2, 2]);
        assert!(!keys.refused(KeyIndex(2)), "none is left");
        assert_eq!(
            turns(&keys, 3),
            [0, 1, 2],
            "all are tried again when all were refused"
        );
        keys.accepted(KeyIndex(1));
        assert_eq!(turns(&keys, 3), [1, 1, 1]);
    }

    #[test]
    fn who_paces_them_has_a_say() {
        let keys = keys(2);
        assert_eq!(keys.next(|key| key == KeyIndex(1)), Some(KeyIndex(1)));
        assert_eq!(keys.next(|_| false), None);
        keys.refused(KeyIndex(1));
        assert_eq!(
            keys.next(|key| key == KeyIndex(1)),
            None,
            "not the refused one either"
        );
    }

    #[test]
    fn each_way_to_send_a_key() {
        let sent = |auth: &Auth, secrets: &[&str]| {
            let secrets: Vec<SecretString> = secrets.iter().map(|key| (*key).into()).collect();
            let keys = Keys::new(auth, &secrets).unwrap();
            let mut headers = HeaderMap::new();
            keys.sign(keys.next(|_| true).unwrap(), &mut headers);
            assert!(!format!("{keys:?} {headers:?}").contains("k-1"), "never shown");
            let sent = headers.iter().next();
            sent.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        };
        let header = Auth::Header("X-Api-Key".to_owned());
        assert_eq!(
            sent(&Auth::Bearer, &["k-1"]).unwrap(),
            "authorization: Bearer k-1"
        );
        assert_eq!(sent(&header, &["", "k-1"]).unwrap(), "x-api-key: k-1");
        for (auth, secrets) in [
            (&Auth::None, &["k-1"][..]),
            (&header, &[""]),
            (&Auth::Bearer, &[]),
        ] {
            assert_eq!(sent(auth, secrets), None, "{auth:?}");
        }
        let bad = |auth: &Auth, key: &str| Keys::new(auth, &[key.into()]).unwrap_err();
        assert_eq!(bad(&Auth::Bearer, "k\n"), BadKeys::Value);
        assert_eq!(
            bad(&Auth::Header("a b".to_owned()), "k"),
            BadKeys::Header("a b".to_owned())
        );
    }
}
