//! Every name that metrics use. Dots here; the Prometheus exporter writes underscores.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Runs that ended, by `status`, `kind`, `task_type`, `class`, `simulated`.
pub const REQUEST_COUNT: &str = "mcp.request.count";
/// From accepted to ended, in milliseconds; labels as [`REQUEST_COUNT`].
pub const REQUEST_LATENCY_MS: &str = "mcp.request.latency_ms";
/// Tokens as providers reported them, by `direction` (`input`, `output`), `provider`, `model`.
pub const TOKENS: &str = "mcp.tokens";
/// Estimated cost of accepted runs in US dollars, by `task_type`; runs without a known price are not counted. A gauge that
/// only grows: dollars are not whole numbers, and the facade's counters are.
pub const COST_ESTIMATE_USD: &str = "mcp.cost_estimate_usd";
/// Provider calls that failed and were followed by another one, by `provider`, `code`.
pub const FALLBACK_COUNT: &str = "mcp.fallback.count";
/// Runs accepted, by `class`, `task_type`.
pub const ACCEPTED_COUNT: &str = "mcp.accepted.count";
/// Submits refused, by problem `code`.
pub const REFUSED_COUNT: &str = "mcp.refused.count";
/// Runs sent back to the queue, by `reason`.
pub const REQUEUED_COUNT: &str = "mcp.requeued.count";
/// From claim to the first visible output, in milliseconds, by `provider`, `model`.
pub const FIRST_TOKEN_MS: &str = "mcp.first_token_ms";
/// Runs this process is executing.
pub const RUNNING: &str = "mcp.running";
/// Connections that watch runs, by `transport` (`websocket`, `sse`).
pub const WATCHERS: &str = "mcp.watchers";
/// Entries per journal commit.
pub const COMMIT_ENTRIES: &str = "mcp.journal.commit_entries";
/// Duration of a journal commit in milliseconds.
pub const COMMIT_MS: &str = "mcp.journal.commit_ms";

/// 1 while this process uses Redis, 0 while it does without; not there where no Redis is configured.
pub const REDIS_UP: &str = "mcp.redis.up";

/// Task types that are told apart; clients may make up others, and labels must not grow with them.
const TASK_TYPES: [&str; 3] = ["chat", "code", "transform"];

/// The `task_type` label of a task type.
#[must_use]
pub fn task_type(task_type: &str) -> &'static str {
    TASK_TYPES
        .into_iter()
        .find(|known| *known == task_type)
        .unwrap_or("other")
}

/// Gives every metric its unit and description in the exporter.
pub fn describe() {
    describe_counter!(REQUEST_COUNT, "Runs that ended");
    describe_histogram!(REQUEST_LATENCY_MS, Unit::Milliseconds, "From accepted to ended");
    describe_counter!(TOKENS, "Tokens as providers reported them");
    describe_gauge!(
        COST_ESTIMATE_USD,
        "Estimated cost of accepted runs in US dollars, where the price is known"
    );
    describe_counter!(
        FALLBACK_COUNT,
        "Provider calls that failed and were followed by another one"
    );
    describe_counter!(ACCEPTED_COUNT, "Runs accepted");
    describe_counter!(REFUSED_COUNT, "Submits refused");
    describe_counter!(REQUEUED_COUNT, "Runs sent back to the queue");
    describe_histogram!(
        FIRST_TOKEN_MS,
        Unit::Milliseconds,
        "From claim to the first visible output"
    );
    describe_gauge!(RUNNING, "Runs this process is executing");
    describe_gauge!(WATCHERS, "Connections that watch runs");
    describe_gauge!(
        REDIS_UP,
        "1 while this process uses Redis, 0 while it does without"
    );
    describe_histogram!(COMMIT_ENTRIES, "Entries per journal commit");
    describe_histogram!(COMMIT_MS, Unit::Milliseconds, "Duration of a journal commit");
}
