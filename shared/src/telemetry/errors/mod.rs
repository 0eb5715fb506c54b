//! Reports errors and panics to Sentry. What leaves is what [`report`] takes from a line - constant texts, our own ids,
//! places in our source - and [`gate`] holds every event to that again. No prompt, no answer, no key, no user id: what
//! is formatted into a line's fields is never read.

mod gate;
mod report;
mod transport;

use std::borrow::Cow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sentry::types::Dsn;
use sentry::{Client, ClientOptions};

use crate::config::ErrorsConfig;

pub(super) use report::Reports;

/// How long the end of the process waits for reports under way.
const FLUSH: Duration = Duration::from_secs(2);

/// Whether a text names a project in Sentry.
#[must_use]
pub fn is_dsn(text: &str) -> bool {
    text.parse::<Dsn>().is_ok()
}

/// The connection to Sentry. What is under way when it is dropped has two seconds to arrive.
pub(super) struct Errors(Arc<Client>);

impl Errors {
    /// Begins to report; none when the DSN is not one. `release` is the package's version.
    ///
    /// Not `sentry::init`: that takes settings from variables nobody has documented here, one of which turns the
    /// verification of certificates off.
    pub(super) fn start(config: &ErrorsConfig, release: &'static str) -> Option<Self> {
        let server_name = config.server_name.clone().map(Cow::Owned);
        let environment = config.environment.clone().map_or("production".into(), Cow::Owned);
        let mut options = ClientOptions::new();
        options.dsn = Some(config.dsn.expose_secret().parse().ok()?);
        options.release = Some(release.into());
        options.environment = Some(environment);
        options.send_default_pii = false;
        options.default_integrations = false;
        options.before_send = Some(Arc::new(move |event| {
            Some(gate::hold(event, server_name.clone()))
        }));
        // What else a client could send, it does not.
        options.before_breadcrumb = Some(Arc::new(|_| None));
        options.before_send_log = Some(Arc::new(|_| None));
        options.transport = Some(Arc::new(transport::Https));
        options.shutdown_timeout = FLUSH;
        Some(Self(Arc::new(options.into())))
    }

    /// What turns log lines into reports.
    pub(super) fn reports(&self) -> Reports {
        Reports::new(Arc::clone(&self.0))
    }
}

impl Drop for Errors {
    /// On a thread that is left behind if need be: the client waits for the request under way however long that takes,
    /// and would hold the process up that wants to end.
    fn drop(&mut self) {
        let client = Arc::clone(&self.0);
        let (closed, close) = mpsc::channel();
        let closing = std::thread::Builder::new().name("sentry-close".to_owned());
        let closing = closing.spawn(move || closed.send(client.close(Some(FLUSH))));
        if closing.is_ok() {
            // Not in time: what was not sent is lost.
            let _ = close.recv_timeout(FLUSH);
        }
    }
}
