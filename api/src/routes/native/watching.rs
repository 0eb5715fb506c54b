//! What every connection that watches a run has in common, whatever its transport: it is counted while it lasts.

use shared::telemetry::vocabulary;

/// A connection that watches, in the gauge of watchers for as long as this lives.
pub(super) struct Presence {
    transport: &'static str,
}

impl Presence {
    /// Counts one more by this transport: `sse` or `websocket`.
    pub(super) fn new(transport: &'static str) -> Self {
        metrics::gauge!(vocabulary::WATCHERS, "transport" => transport).increment(1.0);
        Self { transport }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        metrics::gauge!(vocabulary::WATCHERS, "transport" => self.transport).decrement(1.0);
    }
}
