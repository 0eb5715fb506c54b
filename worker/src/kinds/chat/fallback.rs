//! What comes after a provider call that failed: another provider now, the queue, or the end.
//!
//! - A request that was refused (400-class) is not repeated anywhere: it would be refused again. Except that the model is
//!   not there (404) or the request too large (413): both are true of one provider and may not be of the next.
//! - A key that was refused (401, 403) is ours to mend; another provider has another key.
//! - Everything else - no connection, silence, 429, 5xx, a broken or empty answer - goes to the next candidate at once.
//! - A run makes so many calls in all and no more; calls that repeat have to be within the retry budget.
//! - When nobody is left, the run waits in the queue, as long as its providers ask for and at least the back-off.

use std::time::Duration;

use shared::config::WorkerConfig;
use shared::domain::{Event, Interruption};

use crate::back_off::jittered;
use crate::kinds::Failed;
use crate::providers::{ErrorKind, ProviderError};

/// The longest pause we choose ourselves; a provider may ask for more.
const MAX_BACK_OFF: Duration = Duration::from_secs(60);
/// The longest pause between two looks at whether a provider is to be had.
const MAX_LOOK: Duration = Duration::from_secs(10);

/// Whether another provider may do what this one did not.
pub(super) fn elsewhere(error: &ProviderError) -> bool {
    match error.kind() {
        ErrorKind::Rejected { status } => matches!(status, 404 | 413),
        ErrorKind::TooLarge => false,
        ErrorKind::Connect
        | ErrorKind::Timeout(_)
        | ErrorKind::RateLimited { .. }
        | ErrorKind::Server { .. }
        | ErrorKind::Unauthorized { .. }
        | ErrorKind::Interrupted
        | ErrorKind::Malformed
        | ErrorKind::EmptyAnswer => true,
    }
}

/// Whether a failure is the end of a run of which so many calls have failed; none when it may go on.
pub(super) fn is_the_end(
    error: &ProviderError,
    failed: u32,
    visible: bool,
    on_interruption: Interruption,
    config: &WorkerConfig,
) -> Option<Failed> {
    if !elsewhere(error) || failed >= config.attempts {
        return Some(because(error));
    }
    (visible && on_interruption == Interruption::Fail).then(|| Failed {
        code: shared::domain::FailureCode::Interrupted,
        message: error.public_message(),
        retryable: true,
    })
}

/// The end for this reason.
pub(super) fn because(error: &ProviderError) -> Failed {
    Failed {
        code: error.code(),
        message: error.public_message(),
        retryable: error.retryable(),
    }
}

/// The pause after so many failed calls: half fixed, half random ("equal jitter"), so that it is never at once and never
/// in step.
pub(super) fn back_off(failed: u32, config: &WorkerConfig) -> Duration {
    doubled(config.retry_base, failed.saturating_sub(1), MAX_BACK_OFF)
}

/// The pause before a run that was claimed so many times looks again for a provider that takes it.
pub(super) fn look_again(attempt: u32, config: &WorkerConfig) -> Duration {
    doubled(config.retry_base, attempt.saturating_sub(1), MAX_LOOK)
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(times.min(16)));
    jittered(doubled.min(most), 0.5..1.0)
}

/// Which attempt an `attempt.started` entry begins.
pub(super) fn number_of(event: Option<Event>) -> u32 {
    match event {
        Some(Event::AttemptStarted(started)) => started.attempt,
        _ => 1,
    }
}
