//! Whether a run whose provider call failed gets another one, and when.

use std::time::Duration;

use shared::config::WorkerConfig;

use crate::back_off::jittered;
use crate::providers::ProviderError;

/// The longest pause we choose ourselves; a provider may ask for more.
const MAX_BACK_OFF: Duration = Duration::from_secs(60);

/// How long to wait before the next call; none when there is to be none. `retries` calls failed before this one.
pub(crate) fn next_try(error: &ProviderError, retries: u32, config: &WorkerConfig) -> Option<Duration> {
    if !error.retryable() || retries.saturating_add(1) >= config.attempts {
        return None;
    }
    let doubled = config
        .retry_base
        .saturating_mul(2_u32.saturating_pow(retries.min(16)))
        .min(MAX_BACK_OFF);
    // Half fixed, half random ("equal jitter"): never at once, never in step.
    let back_off = jittered(doubled, 0.5..1.0);
    Some(error.retry_after().map_or(back_off, |asked| asked.max(back_off)))
}
