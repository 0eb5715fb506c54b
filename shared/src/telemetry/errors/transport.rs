//! How reports travel: over HTTPS with rustls, and with an end to waiting. The client's own transport waits for an answer
//! as long as it takes, so that one server that hangs would end all reporting.

use std::sync::Arc;
use std::time::Duration;

use sentry::transports::ReqwestHttpTransportOptions;
use sentry::{Transport, TransportFactory, TransportOptions};

const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(60);

/// Makes the transport.
pub(super) struct Https;

impl TransportFactory for Https {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let transport = ReqwestHttpTransportOptions::from(options);
        Arc::new(match client {
            Ok(client) => transport.with_client(client).build(),
            // The client's own says what is wrong.
            Err(_) => transport.build(),
        })
    }
}
