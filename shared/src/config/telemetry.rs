//! How the process is observed: log lines, StatsD, error reports. Nothing here decides what the process does.

use secrecy::{ExposeSecret, SecretString};

use super::Environment;
use crate::telemetry::{LogFormat, is_dsn};

/// The section of telemetry.
#[derive(Debug, Clone, Default)]
pub struct TelemetryConfig {
    /// How log lines look.
    pub log_format: LogFormat,
    /// What this process is called, in Datadog's unified service tagging.
    pub service: ServiceTags,
    /// Where metrics are sent besides being served; none when no host is named.
    pub statsd: Option<StatsdConfig>,
    /// Where errors are reported; none when no DSN is set.
    pub errors: Option<ErrorsConfig>,
}

/// `DD_SERVICE`, `DD_ENV`, `DD_VERSION`: on every metric and, as `dd.service` and so on, on every JSON log line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceTags {
    /// The service.
    pub service: Option<String>,
    /// The environment: `production`, `staging`, ...
    pub env: Option<String>,
    /// The version that was deployed.
    pub version: Option<String>,
}

impl ServiceTags {
    /// Those that are set: `service`, `env`, `version`.
    pub fn present(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("service", &self.service),
            ("env", &self.env),
            ("version", &self.version),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
    }
}

/// An agent that understands DogStatsD over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsdConfig {
    /// Its name or address.
    pub host: String,
    /// The variable that named it, for who has to correct it.
    pub host_variable: &'static str,
    /// Its port.
    pub port: u16,
    /// What every name begins with, without the dot that follows.
    pub prefix: String,
}

/// A project in Sentry.
#[derive(Debug, Clone)]
pub struct ErrorsConfig {
    /// Where to send, with the project's key.
    pub dsn: SecretString,
    /// The environment events are filed under.
    pub environment: Option<String>,
    /// The host's name as reported; nothing is reported when unset.
    pub server_name: Option<String>,
}

impl TelemetryConfig {
    /// Reads the section. Notes what is wrong.
    pub fn read(env: &mut Environment) -> Self {
        let service = ServiceTags {
            service: env.text("DD_SERVICE"),
            env: env.text("DD_ENV"),
            version: env.text("DD_VERSION"),
        };
        Self {
            log_format: env.parsed("MCP_LOG_FORMAT").unwrap_or_default(),
            statsd: StatsdConfig::read(env),
            errors: ErrorsConfig::read(env, &service),
            service,
        }
    }
}

impl StatsdConfig {
    /// What names begin with when nothing else is said.
    pub const PREFIX: &str = "goblin";

    fn read(env: &mut Environment) -> Option<Self> {
        const PORT: u16 = 8125;
        // Our own names are the more particular ones: an installation's agent may be there for traces only.
        let agent = env.text("DD_AGENT_HOST").map(|host| (host, "DD_AGENT_HOST"));
        let named = env.text("MCP_STATSD_HOST").map(|host| (host, "MCP_STATSD_HOST"));
        let agent_port = env.number("DD_DOGSTATSD_PORT", PORT, 1, u16::MAX);
        let port = env.number("MCP_STATSD_PORT", agent_port, 1, u16::MAX);
        let prefix = env.text("MCP_STATSD_PREFIX");
        let prefix = prefix.unwrap_or_else(|| Self::PREFIX.to_owned());
        if !is_prefix(&prefix) {
            env.problem(
                "MCP_STATSD_PREFIX: must begin with a letter and hold letters, digits, `_` and single dots inside",
            );
        }
        let (host, host_variable) = named.or(agent)?;
        Some(Self {
            host,
            host_variable,
            port,
            prefix,
        })
    }
}

/// What Datadog takes as the beginning of a metric's name without changing it.
fn is_prefix(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.len() <= 100 && text.split('.').all(part)
}

impl ErrorsConfig {
    fn read(env: &mut Environment, service: &ServiceTags) -> Option<Self> {
        let dsn = env.secret("SENTRY_DSN");
        let environment = env.text("SENTRY_ENVIRONMENT").or_else(|| service.env.clone());
        let server_name = env.text("SENTRY_SERVER_NAME");
        let dsn = dsn?;
        if !is_dsn(dsn.expose_secret()) {
            env.problem("SENTRY_DSN: must be the project's DSN, such as https://KEY@HOST/PROJECT");
            return None;
        }
        Some(Self {
            dsn,
            environment,
            server_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> (TelemetryConfig, String) {
        let owned = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Environment::from_values(owned);
        let config = TelemetryConfig::read(&mut env);
        let problems = env.finish().err().map(|error| error.to_string());
        (config, problems.unwrap_or_default())
    }

    #[test]
    fn nothing_is_sent_anywhere_unless_asked_for() {
        let (config, problems) = read(&[("DD_DOGSTATSD_PORT", "9125"), ("SENTRY_ENVIRONMENT", "here")]);
        assert_eq!(problems, "");
        assert!(config.statsd.is_none() && config.errors.is_none());
    }

    #[test]
    fn the_agent_is_found_where_datadog_says_and_our_names_go_first() {
        let (config, problems) = read(&[("DD_AGENT_HOST", "agent"), ("DD_DOGSTATSD_PORT", "9125")]);
        let statsd = config.statsd.unwrap();
        assert_eq!(problems, "");
        assert_eq!((statsd.host.as_str(), statsd.port), ("agent", 9125));
        assert_eq!(
            (statsd.host_variable, statsd.prefix.as_str()),
            ("DD_AGENT_HOST", "goblin")
        );

        let (config, _) = read(&[
            ("DD_AGENT_HOST", "agent"),
            ("DD_DOGSTATSD_PORT", "9125"),
            ("MCP_STATSD_HOST", "10.0.0.9"),
            ("MCP_STATSD_PORT", "8126"),
            ("MCP_STATSD_PREFIX", "acme.llm"),
        ]);
        let statsd = config.statsd.unwrap();
        assert_eq!((statsd.host.as_str(), statsd.port), ("10.0.0.9", 8126));
        assert_eq!(
            (statsd.host_variable, statsd.prefix.as_str()),
            ("MCP_STATSD_HOST", "acme.llm")
        );
    }

    #[test]
    fn the_environment_of_errors_falls_back_to_datadogs() {
        let dsn = ("SENTRY_DSN", "https://0123456789abcdef@errors.example/7");
        let (config, problems) = read(&[dsn, ("DD_ENV", "staging")]);
        assert_eq!(problems, "");
        assert_eq!(config.errors.unwrap().environment.as_deref(), Some("staging"));
        let (config, _) = read(&[dsn, ("DD_ENV", "staging"), ("SENTRY_ENVIRONMENT", "canary")]);
        let shown = format!("{config:?}");
        assert_eq!(config.errors.unwrap().environment.as_deref(), Some("canary"));
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for (name, bad) in [
            ("SENTRY_DSN", "hunter2"),
            ("MCP_LOG_FORMAT", "hunter2"),
            ("MCP_STATSD_PORT", "0"),
            ("DD_DOGSTATSD_PORT", "70000"),
            ("MCP_STATSD_PREFIX", "goblin."),
            ("MCP_STATSD_PREFIX", "a:1|c\nb"),
        ] {
            let (_, problems) = read(&[(name, bad)]);
            assert!(
                problems.contains(name) && !problems.contains("hunter2"),
                "{name}={bad}: {problems}"
            );
        }
    }
}
