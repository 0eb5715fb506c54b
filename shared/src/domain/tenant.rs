//! Who is accounted and limited, and on whose behalf.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Owner of the API key; `local` where there are no keys. 1 to 64 of `a-z 0-9 _ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

/// Why a text is not a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tenant: expected 1 to 64 of a-z, 0-9, `_` and `-`")]
pub struct TenantError;

impl TenantId {
    /// The tenant of an installation without API keys.
    #[must_use]
    pub fn local() -> Self {
        Self("local".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = TenantError;

    fn from_str(text: &str) -> Result<Self, TenantError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(TenantError)
        }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TenantId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Keyed hash of the client's user id, in hexadecimal. The id itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct UserHash(String);

impl UserHash {
    /// From the digest of the keyed hash.
    #[must_use]
    pub fn from_digest(digest: &[u8]) -> Self {
        use std::fmt::Write as _;
        let mut hex = String::with_capacity(digest.len() * 2);
        for byte in digest {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    /// As the database gave it back.
    #[must_use]
    pub const fn from_hex(hex: String) -> Self {
        Self(hex)
    }

    /// Hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
