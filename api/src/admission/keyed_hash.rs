//! Keyed hashes: of user ids, which are never stored themselves, and of request bodies, which tell a repeated submit
//! from a reused key. HMAC-SHA256 (RFC 2104); what is hashed begins with what it is for and whose it is, so that no
//! hash of one purpose or tenant equals one of another.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use shared::config::HashKey;
use shared::domain::{TenantId, UserHash};

/// Hashes under the installation's key.
pub(super) struct KeyedHash {
    key: HashKey,
}

impl KeyedHash {
    pub(super) const fn new(key: HashKey) -> Self {
        Self { key }
    }

    /// The hash of a tenant's user.
    pub(super) fn user(&self, tenant: &TenantId, user_id: &str) -> UserHash {
        UserHash::from_digest(&self.hash(b"user", tenant, user_id.as_bytes()))
    }

    /// The hash of a tenant's request.
    pub(super) fn body(&self, tenant: &TenantId, canonical: &[u8]) -> Vec<u8> {
        self.hash(b"body", tenant, canonical)
    }

    fn hash(&self, purpose: &[u8], tenant: &TenantId, what: &[u8]) -> Vec<u8> {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length (RFC 2104, section 3)"
        )]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.bytes()).expect("a key of any length");
        // Neither a purpose nor a tenant contains NUL, so the parts cannot be taken for each other.
        for part in [purpose, b"\0", tenant.as_str().as_bytes(), b"\0", what] {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_tenants_and_keys_are_kept_apart() {
        let hash = |key: &str| KeyedHash::new(key.parse().unwrap());
        let (one, other) = (hash(&"k".repeat(32)), hash(&"j".repeat(32)));
        let (acme, beta): (TenantId, TenantId) = ("acme".parse().unwrap(), "beta".parse().unwrap());
        let known = one.user(&acme, "ada");
        assert_eq!(known, one.user(&acme, "ada"));
        assert_eq!(known.as_str().len(), 64);
        assert_ne!(known, one.user(&beta, "ada"));
        assert_ne!(known, other.user(&acme, "ada"));
        assert_ne!(known, UserHash::from_digest(&one.body(&acme, b"ada")));
        assert!(!known.as_str().contains("ada"));
    }
}
