//! What a worker needs to know.

use std::time::Duration;

use super::Environment;

/// The worker's section.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Runs executed at the same time.
    pub slots: u32,
    /// How long the worker may go unheard before its runs are given to others.
    pub lease: Duration,
    /// Runs of one tenant running at the same time, over all workers; none means no limit.
    pub tenant_limit: Option<u32>,
    /// Provider calls of one run before it fails for good.
    pub attempts: u32,
    /// How long a run waits in the queue for providers whose breakers are open, before it fails.
    pub outage_wait: Duration,
    /// The first pause between them; doubles each time, with jitter.
    pub retry_base: Duration,
    /// How long running runs may take to end after SIGTERM before they are given back.
    pub drain: Duration,
    /// Ended runs are kept for so long; none keeps them for ever.
    pub retention: Option<Duration>,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            slots: 256,
            lease: Duration::from_secs(10),
            tenant_limit: None,
            attempts: 3,
            outage_wait: Duration::from_secs(600),
            retry_base: Duration::from_millis(500),
            drain: Duration::from_secs(30),
            retention: None,
        }
    }
}

impl WorkerConfig {
    /// Times a run's worker may die while holding it.
    pub const MAX_CRASHES: u32 = 10;

    /// Reads the section. Notes what is wrong.
    pub fn read(env: &mut Environment) -> Self {
        let default = Self::default();
        let tenant_limit = env.number("MCP_MAX_RUNNING_PER_TENANT", 0, 0, 1_000_000);
        let days = env.number("MCP_RETENTION_DAYS", 0_u64, 0, 36_500);
        Self {
            slots: env.number("MCP_SLOTS", default.slots, 1, 100_000),
            lease: env.millis("MCP_LEASE_MS", default.lease),
            tenant_limit: (tenant_limit > 0).then_some(tenant_limit),
            attempts: env.number("MCP_PROVIDER_ATTEMPTS", default.attempts, 1, 100),
            outage_wait: env.millis("MCP_OUTAGE_WAIT_MS", default.outage_wait),
            retry_base: env.millis("MCP_RETRY_BASE_MS", default.retry_base),
            drain: env.millis("MCP_DRAIN_MS", default.drain),
            retention: (days > 0).then(|| Duration::from_secs(days * 86_400)),
        }
    }

    /// How often the lease is renewed.
    #[must_use]
    pub fn renewal(&self) -> Duration {
        self.lease.mul_f64(0.3)
    }
}
