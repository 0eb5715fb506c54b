//! The one place that reads the wall clock. Everything that decides (leases, deadlines, delays) goes by database
//! time; the wall clock only stamps and formats.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// Now, by this machine's clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the module the rule points to")]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
