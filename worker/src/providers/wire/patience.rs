//! How long a call still waits. One timer per call, moved only when it fires or must fire earlier: an answer of a
//! thousand tokens must not cost a thousand timers.
//!
//! The time a caller spends between two reads is the caller's, not the provider's: silence is counted from the first
//! time we wait and find nothing. Keeps its state across dropped futures, so a caller may `select!` on a read.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::providers::{Phase, Timeouts};

/// Stands for "never" where a sum would overflow: longer than any call.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// What the call is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    /// The whole answer at once.
    Whole,
    /// The first visible output of a stream.
    FirstToken,
    /// The next event of a stream.
    NextEvent,
}

/// The clock of one call. Starts when it is made.
#[derive(Debug)]
pub(super) struct Patience {
    timeouts: Timeouts,
    started: Instant,
    awaiting: Awaiting,
    silent_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    /// For a call that is sent now.
    pub(super) fn new(timeouts: Timeouts, stream: bool) -> Self {
        let started = Instant::now();
        let awaiting = if stream {
            Awaiting::FirstToken
        } else {
            Awaiting::Whole
        };
        let mut patience = Self {
            timeouts,
            started,
            awaiting,
            silent_since: None,
            timer: Box::pin(sleep_until(started)),
        };
        let (due, _) = patience.due();
        patience.timer.as_mut().reset(due);
        patience
    }

    /// An event came; `output` says whether anything visible has come by now.
    pub(super) fn heard(&mut self, output: bool) {
        self.silent_since = None;
        if output && self.awaiting == Awaiting::FirstToken {
            self.awaiting = Awaiting::NextEvent;
        }
    }

    /// Whether the call as a whole has taken too long. A stream that never pauses is caught only by asking.
    pub(super) fn is_over(&self) -> bool {
        self.started.elapsed() >= self.timeouts.total
    }

    /// Waits for something of the provider, no longer than the call may still wait.
    ///
    /// # Errors
    /// The part of the call that took too long.
    pub(super) async fn wait_for<F: Future>(&mut self, future: F) -> Result<F::Output, Phase> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_expired(cx).map(Err),
        })
        .await
    }

    /// Ready once something took too long. To be polled only after the provider was found silent.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            let (due, phase) = self.due();
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if due <= Instant::now() {
                return Poll::Ready(phase);
            }
            self.timer.as_mut().reset(due);
        }
    }

    fn due(&mut self) -> (Instant, Phase) {
        let total = after(self.started, self.timeouts.total);
        let (due, phase) = match self.awaiting {
            Awaiting::Whole => return (total, Phase::Total),
            Awaiting::FirstToken => (after(self.started, self.timeouts.first_token), Phase::FirstToken),
            Awaiting::NextEvent => {
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                (after(since, self.timeouts.between_tokens), Phase::BetweenTokens)
            }
        };
        if due < total {
            (due, phase)
        } else {
            (total, Phase::Total)
        }
    }
}

fn after(from: Instant, delay: Duration) -> Instant {
    from + delay.min(FAR)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(1),
        first_token: Duration::from_secs(10),
        between_tokens: Duration::from_secs(3),
        total: Duration::from_secs(60),
    };

    async fn wait(patience: &mut Patience, at_most: Duration) -> Option<Phase> {
        let silence = pending::<()>();
        tokio::time::timeout(at_most, patience.wait_for(silence))
            .await
            .ok()
            .and_then(Result::err)
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_limit() {
        let start = Instant::now();
        let mut patience = Patience::new(TIMEOUTS, true);
        patience.heard(false);
        assert_eq!(wait(&mut patience, Duration::from_secs(9)).await, None);
        assert_eq!(wait(&mut patience, Duration::MAX).await, Some(Phase::FirstToken));
        assert_eq!(start.elapsed().as_secs(), 10);

        let start = Instant::now();
        let mut patience = Patience::new(TIMEOUTS, true);
        for _ in 0..29 {
            patience.heard(true);
            assert_eq!(wait(&mut patience, Duration::from_secs(2)).await, None);
        }
        patience.heard(true);
        assert!(!patience.is_over());
        assert_eq!(wait(&mut patience, Duration::MAX).await, Some(Phase::Total));
        assert_eq!(start.elapsed().as_secs(), 60);
        assert!(patience.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_that_are_dropped_add_up_and_the_callers_own_time_does_not_count() {
        let mut patience = Patience::new(TIMEOUTS, true);
        patience.heard(true);
        tokio::time::advance(Duration::from_secs(20)).await;
        let start = Instant::now();
        assert_eq!(wait(&mut patience, Duration::from_secs(2)).await, None);
        assert_eq!(
            wait(&mut patience, Duration::from_secs(2)).await,
            Some(Phase::BetweenTokens)
        );
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_stream_is_bounded_as_a_whole() {
        let start = Instant::now();
        let endless = Timeouts {
            first_token: Duration::MAX,
            ..TIMEOUTS
        };
        assert_eq!(
            wait(&mut Patience::new(endless, false), Duration::MAX).await,
            Some(Phase::Total)
        );
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(
            wait(&mut Patience::new(endless, true), Duration::MAX).await,
            Some(Phase::Total)
        );
        assert_eq!(start.elapsed().as_secs(), 120);
    }
}
