//! The wall clock, for what the protocol wants in it: `created` and the date of a `Retry-After`.
//!
//! Must never be used to wait or to measure: that is the monotonic clock's business.

use std::time::SystemTime;

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator stands apart from `shared`, so it has its own one place"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
