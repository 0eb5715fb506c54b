//! Configuration from the environment: one small struct per section, validated at start. An unknown `MCP_` name or a
//! bad value is an error that names it; secrets are never printed.

mod api;
mod database;
mod environment;
mod provider;
mod redis;
mod telemetry;
mod worker;

pub use api::{ApiConfig, ApiKey, DepthLimits, HashKey, PressureLimits};
pub use database::{Database, PostgresConfig};
pub use environment::{ConfigError, Environment};
pub use provider::{ProviderConfig, ProviderTimeouts};
pub use redis::RedisConfig;
pub use telemetry::{ErrorsConfig, ServiceTags, StatsdConfig, TelemetryConfig};
pub use worker::WorkerConfig;
