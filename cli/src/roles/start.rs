//! What every role does at its start: read the environment, begin to log and to measure, open the ledger, listen.

use std::net::SocketAddr;

use shared::config::{ConfigError, Environment, PostgresConfig, TelemetryConfig};
use shared::ledger::{ConnectError, Ledger};
use shared::telemetry::{MetricsError, MetricsHandle, Telemetry};
use std::io::IsTerminal as _;
use tokio::net::TcpListener;

use crate::exit::CliError;

/// Something of this process could not be started.
pub(crate) fn broken(
    what: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    next: impl Into<String>,
) -> CliError {
    CliError::Service {
        what: what.into(),
        source: source.into(),
        next: next.into(),
    }
}

/// Ends the reading of the environment.
pub(crate) fn finish(env: Environment) -> Result<(), CliError> {
    env.finish().map_err(|error: ConfigError| CliError::Usage {
        problem: error.to_string(),
        next: "correct the environment; .env.example lists every setting".to_owned(),
    })
}

/// A setting that a role cannot do without.
pub(crate) fn missing(problem: &str, next: &str) -> CliError {
    CliError::Usage {
        problem: problem.to_owned(),
        next: next.to_owned(),
    }
}

/// Begins to log on stderr and, if so configured, to report errors. To be kept until the role ends.
pub(crate) fn telemetry(env: &mut Environment, default_filter: &str) -> Telemetry {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    shared::telemetry::init(TelemetryConfig::read(env), default_filter, colour)
}

/// Begins to measure.
pub(crate) fn metrics(telemetry: &mut Telemetry) -> Result<MetricsHandle, CliError> {
    telemetry.measure().map_err(|error| match error {
        MetricsError::NoAddress { .. } => missing(
            &error.to_string(),
            "name a host that has one, or unset the variable: metrics are at /metrics anyway",
        ),
        error => broken(
            "cannot set up metrics",
            error,
            "see what the system says, then start again",
        ),
    })
}

/// The database that `api`, `worker` and `migrate` share.
pub(crate) fn postgres(config: Option<PostgresConfig>) -> Result<PostgresConfig, CliError> {
    config.ok_or_else(|| {
        missing(
            "DATABASE_URL is not set",
            "DATABASE_URL=postgres://… mcpctl migrate    (or, without a database: mcpctl up)",
        )
    })
}

/// Connects to Postgres and sees that its schema is up to date.
pub(crate) async fn open_migrated(config: &PostgresConfig) -> Result<Ledger, CliError> {
    let ledger = open(config).await?;
    let pending = migrations::pending(ledger.connection()).await;
    let pending =
        pending.map_err(|error| broken("cannot read the state of the schema", error, "mcpctl migrate"))?;
    if pending.is_empty() {
        return Ok(ledger);
    }
    Err(missing(
        &format!(
            "the database lacks {} migration(s): {}",
            pending.len(),
            pending.join(", ")
        ),
        "mcpctl migrate",
    ))
}

/// Connects to Postgres.
pub(crate) async fn open(config: &PostgresConfig) -> Result<Ledger, CliError> {
    Ledger::open_postgres(config)
        .await
        .map_err(|error: ConnectError| {
            broken(
                "cannot open the ledger",
                error,
                "see that Postgres runs and that DATABASE_URL names it",
            )
        })
}

/// Listens.
pub(crate) async fn listen(address: SocketAddr, next: &str) -> Result<(TcpListener, SocketAddr), CliError> {
    let failed = |error: std::io::Error| broken(format!("cannot listen on {address}"), error, next);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// What the API may know of the providers.
pub(crate) fn facts(parts: &worker::roster::RosterParts) -> api::ProviderFacts {
    api::ProviderFacts {
        catalog: parts.catalog.clone(),
        auto: parts.config.auto.clone(),
    }
}

/// How this process appears among the workers: host and process.
pub(crate) fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!(
        "{}:{}",
        if host.is_empty() { "host" } else { host },
        std::process::id()
    )
}
