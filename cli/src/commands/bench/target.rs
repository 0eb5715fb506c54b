//! Whom the load is sent to: the requests of a run in either protocol, and connections to carry them.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use url::Url;

use super::answer::Protocol;
use super::load::{Load, Plan};
use super::prompt::Sender;
use crate::client::{Server, ServerUrl};
use crate::exit::CliError;

const CONNECT: Duration = Duration::from_secs(5);
/// A run whose answer is wanted in one piece is waited for so long.
const WAIT_SECONDS: &str = "60";

/// Whom the load is sent to, and what is sent.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// As it is shown.
    pub(super) url: String,
    pub(super) protocol: Protocol,
    connector: HttpsConnector<HttpConnector>,
    origin: Uri,
    /// As it stands in the request line.
    path: Uri,
    headers: HeaderMap,
    /// The body, and where the run's number stands in it.
    body: Vec<u8>,
    number_at: usize,
}

impl Target {
    /// A control plane's native API.
    pub(super) fn control_plane(
        server: &Server,
        plan: &Plan,
        model: &str,
        sender: Sender,
    ) -> Result<Self, CliError> {
        let streamed = plan.load != Load::Submit && !plan.whole;
        let accept = if streamed {
            "text/event-stream"
        } else {
            "application/json"
        };
        let protocol = if streamed {
            Protocol::Runs
        } else {
            Protocol::WholeRun
        };
        let body = json!({
            "prompt": sender.prompt(),
            "model": model,
            "max_tokens": plan.shape.tokens,
        });
        let mut url = server.at(&["mcp", "v1", "request"]);
        if plan.whole {
            url.query_pairs_mut().append_pair("wait", WAIT_SECONDS);
        }
        let key = server.authorization()?;
        let target = Self::new(&url, protocol, accept, key, &body, sender)?;
        Ok(Self {
            url: server.url().to_string(),
            ..target
        })
    }

    /// An OpenAI-compatible provider, without a control plane in front. `base` goes up to and including the version.
    pub(super) fn provider(
        base: &ServerUrl,
        plan: &Plan,
        model: &str,
        key: Option<HeaderValue>,
        sender: Sender,
    ) -> Result<Self, CliError> {
        let mut body = json!({
            "model": model,
            "messages": [{ "role": "user", "content": sender.prompt() }],
            "max_tokens": plan.shape.tokens,
        });
        let (protocol, accept) = if plan.whole {
            (Protocol::WholeCompletion, "application/json")
        } else {
            body["stream"] = true.into();
            body["stream_options"] = json!({ "include_usage": true });
            (Protocol::Completions, "text/event-stream")
        };
        let unusable = |_| CliError::Usage {
            problem: format!("--direct {base}: cannot be called"),
            next: "mcpctl bench --direct http://127.0.0.1:8001/v1".to_owned(),
        };
        let url = Url::parse(&format!("{base}/chat/completions")).map_err(unusable)?;
        let target = Self::new(&url, protocol, accept, key, &body, sender)?;
        Ok(Self {
            url: base.to_string(),
            ..target
        })
    }

    /// The same with more headers. What the protocol needs stays as it is, unless it is among them.
    pub(super) fn with(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    fn new(
        url: &Url,
        protocol: Protocol,
        accept: &'static str,
        key: Option<HeaderValue>,
        body: &serde_json::Value,
        sender: Sender,
    ) -> Result<Self, CliError> {
        let body = body.to_string();
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| CliError::Service {
            what: format!("cannot set up requests to {url}"),
            source,
            next: "mcpctl bench --help".to_owned(),
        };
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut headers = HeaderMap::new();
        headers.insert(
            HOST,
            authority.parse().map_err(|error| unusable(Box::new(error)))?,
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.extend(key.map(|key| (AUTHORIZATION, key)));
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(|error| unusable(Box::new(error)))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let uri = |text: &str| text.parse::<Uri>().map_err(|error| unusable(Box::new(error)));
        Ok(Self {
            url: url.to_string(),
            protocol,
            connector,
            origin: uri(url.as_str())?,
            path: uri(&url[url::Position::BeforePath..url::Position::AfterQuery])?,
            headers,
            // Both bodies hold the prompt.
            number_at: sender.number_at(&body).unwrap_or_default(),
            body: body.into_bytes(),
        })
    }

    /// The request of a run.
    pub(super) fn request(&self, number: u64) -> Request<Full<Bytes>> {
        let mut body = self.body.clone();
        Sender::write(&mut body, self.number_at, number);
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    pub(super) async fn connect(&self) -> Result<Connection, String> {
        let stream = self
            .connector
            .clone()
            .oneshot(self.origin.clone())
            .await
            .map_err(|error| format!("cannot connect: {}", root(&*error)))?;
        let (sender, connection) = http1::handshake(stream)
            .await
            .map_err(|error| format!("cannot connect: {}", root(&error)))?;
        let mut carrier = JoinSet::new();
        // What breaks it is seen by the request under way.
        carrier.spawn(connection);
        Ok(Connection {
            sender,
            _carrier: carrier,
        })
    }
}

/// A connection that carries one run after the other.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// The task that moves the bytes; gone with this.
    _carrier: JoinSet<hyper::Result<()>>,
}

impl Connection {
    /// Whether another run can be sent over it.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.send_request(request).await
    }
}

/// What lies at the bottom of an error.
pub(super) fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use http_body_util::BodyExt as _;

    use super::super::load::{Arrivals, Extent};
    use super::*;

    #[tokio::test]
    async fn requests_differ_in_their_number_only() {
        let plan = Plan {
            load: Load::Flat,
            shape: Load::Flat.shape(),
            concurrency: NonZeroU32::MIN,
            arrivals: Arrivals::Spread,
            extent: Extent::Runs(1),
            threads: NonZeroU32::MIN,
            exact: true,
            whole: false,
        };
        let base = "http://127.0.0.1:8001/v1".parse().unwrap();
        let target = Target::provider(&base, &plan, "sim", None, Sender::new(1)).unwrap();
        let request = target.request(0xbeef);
        assert_eq!(request.uri(), "/v1/chat/completions");
        assert_eq!(request.headers()[HOST], "127.0.0.1:8001");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body["messages"][0]["content"],
            "bench-0000000000000001-000000000000beef"
        );
        assert_eq!(body["max_tokens"], 16);
    }
}
