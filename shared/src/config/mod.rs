//! Configuration from the environment: one small struct per section, validated at start. An unknown `MCP_` name or a
//! bad value is an error that names it; secrets are never printed.

mod api;
mod catalog;
mod database;
mod environment;
mod provider;
mod redis;
mod routing;
mod telemetry;
mod worker;

pub use api::{ApiConfig, ApiKey, DepthLimits, HashKey, PressureLimits};
pub use catalog::CatalogConfig;
pub use database::{Database, PostgresConfig};
pub use environment::{ConfigError, Environment, Variables};
pub use provider::{ProviderConfig, ProviderTimeouts};
pub use redis::RedisConfig;
pub use routing::RoutingConfig;
pub use telemetry::{ErrorsConfig, ServiceTags, StatsdConfig, TelemetryConfig};
pub use worker::WorkerConfig;
