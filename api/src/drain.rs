//! How this process goes down: first soft, then hard. Tokens are handed in by who starts the API, never global.
//!
//! Soft: no new work is accepted, watchers are told to come back elsewhere with their cursor, readiness says no;
//! what exists can still be read. Hard: the listener closes and answers under way are finished.

use tokio_util::sync::CancellationToken;

/// Both shutdown tokens. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Drain {
    /// Of these two tokens.
    #[must_use]
    pub const fn new(soft: CancellationToken, hard: CancellationToken) -> Self {
        Self { soft, hard }
    }

    /// Begins the soft part. May be repeated.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Begins the hard part (and the soft one, if nobody did). May be repeated.
    pub fn finish(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Whether new work is refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.soft.is_cancelled() || self.hard.is_cancelled()
    }

    /// Returns when new work is refused. Cancel-safe.
    pub async fn draining(&self) {
        tokio::select! {
            () = self.soft.cancelled() => {}
            () = self.hard.cancelled() => {}
        }
    }

    /// Returns when the listener has to close. Cancel-safe.
    pub async fn closing(&self) {
        self.hard.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hard_implies_soft_and_soft_does_not_imply_hard() {
        let drain = Drain::default();
        assert!(!drain.is_draining());
        drain.begin();
        drain.draining().await;
        assert!(drain.is_draining() && !drain.hard.is_cancelled());
        drain.finish();
        drain.closing().await;

        let by_hard_alone = Drain::default();
        by_hard_alone.hard.cancel();
        by_hard_alone.draining().await;
        assert!(by_hard_alone.is_draining());
    }
}
