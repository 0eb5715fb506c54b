//! How a role is told to stop: the first SIGINT or SIGTERM drains, the second one is urgent.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by signals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// Stop taking new work; let what runs end.
    pub(crate) soft: CancellationToken,
    /// Stop now; what runs is given back.
    pub(crate) hard: CancellationToken,
}

impl Signals {
    /// Begins to listen. The handlers stay for the life of the process.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub(crate) fn listen() -> io::Result<Self> {
        let signals = Self::default();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let Self { soft, hard } = signals.clone();
        let _listening = tokio::spawn(async move {
            for token in [soft, hard] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(signals)
    }
}
