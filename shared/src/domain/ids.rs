//! Typed ids: one type per noun, prefixed where a person sees them, sortable by time of creation (UUIDv7, RFC 9562).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {noun} id: expected `{prefix}` followed by 32 hexadecimal digits")]
pub struct IdError {
    noun: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id; later ids of one process sort after earlier ones.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "an id is minted on purpose, never by default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as the database holds it.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .filter(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(IdError { noun: $noun, prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// A run: one piece of accepted work.
    RunId, "run", "run_"
);
id!(
    /// One incarnation of a worker process; a restarted worker is a new one.
    WorkerId, "worker", "wrk_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_and_order() {
        let (first, second) = (RunId::new(), RunId::new());
        assert_eq!(first.to_string().parse::<RunId>().unwrap(), first);
        assert!(first < second);
        assert!(first.to_string() < second.to_string());
    }

    #[test]
    fn only_the_canonical_form_parses() {
        let id = RunId::new().to_string();
        for bad in [
            "",
            "run_",
            &id[4..],
            &id.replace("run_", "wrk_"),
            &format!("{id}0"),
            &id.to_uppercase(),
            &format!("run_{}", Uuid::nil().hyphenated()),
        ] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }
}
