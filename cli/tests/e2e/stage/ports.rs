//! Ports for servers of a test's own.

use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that the kernel hands out: nobody takes ours while its server is away.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port that was not given out before, so that nobody gets the one of a server that is stopped. Somebody else may be
/// listening there: the server itself tries.
pub(super) fn next() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    let next = std::process::id().wrapping_mul(101) + GIVEN.fetch_add(1, Ordering::Relaxed);
    PORTS.start + u16::try_from(next % count).expect("smaller than a port")
}
