//! Logs go to stderr; stdout belongs to data.

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt};

use super::json_lines::JsonLines;
use super::panics;
use crate::config::TelemetryConfig;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be `text` or `json`"),
        }
    }
}

/// The layer that writes lines. `RUST_LOG` overrides `default_filter`; neither hides a panic, nor the spans that say
/// which run a line concerns.
pub(super) fn layer<S>(
    config: &TelemetryConfig,
    default_filter: &str,
    colour: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let always = |metadata: &Metadata<'_>| is_context(metadata) || metadata.target() == panics::TARGET;
    let filter = asked.or(filter_fn(always).with_max_level_hint(LevelFilter::INFO));
    match config.log_format {
        LogFormat::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .with_target(false)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => JsonLines::new(std::io::stderr, &config.service)
            .with_filter(filter)
            .boxed(),
    }
}

/// Whether it is a span that lines are read together with.
pub(super) fn is_context(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= tracing::Level::INFO
}
