//! What a process hears from Redis: that there may be work, that a cancel was asked for.

use tokio::sync::Notify;

use crate::redis_link::Listener;

/// Turns messages into wake-ups. Apart from the dispatch, so that the link does not hold what holds the link.
pub(super) struct Ears {
    /// The channel of this process.
    pub(super) wake: String,
    /// The channel of all.
    pub(super) cancel: String,
    pub(super) woken: Notify,
    pub(super) cancelled: Notify,
}

impl Listener for Ears {
    fn heard(&self, channel: &[u8], _payload: &[u8]) {
        if channel == self.wake.as_bytes() {
            self.woken.notify_one();
        } else if channel == self.cancel.as_bytes() {
            self.cancelled.notify_one();
        }
    }

    /// From now on it is the ledger that is asked: at once.
    fn lost(&self) {
        self.woken.notify_one();
    }

    /// Messages may have been missed.
    fn restored(&self) {
        self.woken.notify_one();
        self.cancelled.notify_one();
    }
}
