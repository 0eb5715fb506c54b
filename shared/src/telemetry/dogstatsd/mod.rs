//! The DogStatsD side of the `metrics` facade: a line per change over UDP, to an agent that may be away. Then what is
//! sent is lost, and nothing else happens: no call waits for it.
//!
//! Counters and gauges are added up here and written once a second, so that a gauge's value is right again a second
//! after a datagram was lost, and a busy counter costs one line. (The exporter alone would drop a gauge's increments:
//! StatsD has none.) Histograms go out as Datadog distributions, each sample by itself: percentiles are then those of
//! all hosts together, where a StatsD histogram has its own on every host.
//!
//! Protocol: <https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/>.

mod pump;
mod recorder;
mod tags;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;

use cadence::{BufferedUdpMetricSink, MetricSink};
use metrics_exporter_statsd::{StatsdBuilder, StatsdError};
use metrics_util::registry::Registry;

use crate::config::{ServiceTags, StatsdConfig};

pub(super) use pump::Pump;
pub(super) use recorder::DogStatsd;

/// Bytes of a datagram: what passes an Ethernet unfragmented.
const DATAGRAM: usize = 1432;

/// Why it cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetUpError {
    /// The host has no address.
    #[error("{0}")]
    NoAddress(io::Error),
    /// This machine refuses a socket or a thread, or the exporter its settings.
    #[error(transparent)]
    Refused(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for SetUpError {
    fn from(error: io::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<StatsdError> for SetUpError {
    fn from(error: StatsdError) -> Self {
        Self::Refused(error.into())
    }
}

/// Begins to send. The host's address is looked up once.
pub(super) fn start(config: &StatsdConfig, service: &ServiceTags) -> Result<(DogStatsd, Pump), SetUpError> {
    let agent = address(config).map_err(SetUpError::NoAddress)?;
    let local: SocketAddr = if agent.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    let sink = BufferedUdpMetricSink::with_capacity(agent, socket, DATAGRAM).map_err(StatsdError::from)?;
    let sink = Shared(Arc::new(sink));
    let mut builder = StatsdBuilder::from("", 0)
        .with_sink(sink.clone())
        .histogram_is_distribution();
    for (name, value) in service.present() {
        builder = builder.with_default_tag(name, tags::clean(value));
    }
    let lines = Arc::new(builder.build(Some(&config.prefix))?);
    let registry = Arc::new(Registry::atomic());
    let pump = Pump::start(Arc::clone(&registry), Arc::clone(&lines), sink)?;
    Ok((DogStatsd::new(registry, lines), pump))
}

fn address(config: &StatsdConfig) -> io::Result<SocketAddr> {
    let mut addresses = (config.host.as_str(), config.port).to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no address"))
}

/// One buffer of lines for the exporter, which fills it, and the pump, which empties it.
#[derive(Clone)]
struct Shared(Arc<BufferedUdpMetricSink>);

impl MetricSink for Shared {
    fn emit(&self, metric: &str) -> io::Result<usize> {
        self.0.emit(metric)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}
