//! Sends a chat request and looks at the head of the response. One HTTP client per provider, shared by all its calls;
//! one request per call, never repeated here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Response, redirect};
use shared::catalog::LiveCredentials;
use shared::clock;

use super::access_token::AccessTokens;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::keys::{BadKeys, KeyIndex, Keys};
use super::origin::{Circumstances, Origin};
use super::patience::Patience;
use super::signing::Signer;
use super::stream::{ChatStream, Format};
use crate::providers::dialect::{self, Dialect, Framing, Outgoing};
use crate::providers::retry_after::retry_after;
use crate::providers::{
    ChatCall, ErrorKind, Headroom, ProviderError, ProviderSettings, SettingsError, Timeouts,
};

/// Below the minute after which common load balancers close idle connections, so that we rarely send into a
/// connection that is closing.
const KEEP_IDLE: Duration = Duration::from_secs(50);
/// As many as a worker has slots by default; more at once works, but is not kept.
const MOST_IDLE: usize = 256;
/// Of a body that only explains a failure.
const MOST_ERROR_BYTES: usize = 64 * 1024;
/// Explaining a failure may not take longer than that.
const LONGEST_EXPLANATION: Duration = Duration::from_secs(5);
/// Where providers say the id of a call: most of them, Anthropic, AWS, Azure's gateway.
const REQUEST_ID_HEADERS: [&str; 4] = [
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
];
/// The simulator says so itself, wherever it was started and whatever the configuration calls it.
const SIMULATED_HEADER: &str = "x-simulated";

/// A provider that can be called. Cheap to share behind an `Arc`; holds the connections it keeps open.
#[derive(Debug)]
pub struct Provider {
    client: Client,
    dialect: Box<dyn Dialect>,
    endpoint: Endpoint,
    headers: HeaderMap,
    signer: Option<Signer>,
    origin: Arc<Origin>,
    timeouts: Timeouts,
    simulated: bool,
}

impl Provider {
    /// Builds the client. Connects to nothing.
    ///
    /// # Errors
    /// When the base URL, a key or a header cannot be used, or HTTPS is asked for and cannot be set up.
    pub fn new(settings: ProviderSettings) -> Result<Self, SettingsError> {
        let ProviderSettings {
            name,
            dialect,
            base_url,
            query,
            auth,
            mut api_keys,
            credentials,
            api_key_env,
            quirks,
            timeouts,
            simulated,
        } = settings;
        let endpoint = Endpoint::new(&base_url, &query).map_err(|problem| SettingsError::BaseUrl {
            provider: name.clone(),
            problem,
        })?;
        let bad_key = || SettingsError::ApiKey {
            provider: name.clone(),
            env: api_key_env.clone(),
        };
        let keys = Keys::new(&auth, &api_keys).map_err(|bad| match bad {
            BadKeys::Header(header) => SettingsError::Header {
                provider: name.clone(),
                header,
            },
            BadKeys::Value => bad_key(),
        })?;
        api_keys.extend(credentials.iter().flat_map(LiveCredentials::secrets).cloned());
        let (signer, tokens) = match credentials {
            Some(LiveCredentials::SigV4(key)) => (Some(Signer::new(key).ok_or_else(bad_key)?), None),
            Some(LiveCredentials::ServiceAccount(account)) => {
                (None, Some(AccessTokens::new(account, timeouts.connect)))
            }
            None => (None, None),
        };
        let headers = fixed(&quirks.headers).map_err(|header| SettingsError::Header {
            provider: name.clone(),
            header,
        })?;
        let https = endpoint.base().scheme() == "https";
        let client = http_client(https, timeouts.connect).map_err(|source| SettingsError::Http {
            provider: name.clone(),
            source,
        })?;
        Ok(Self {
            client,
            dialect: dialect::named(dialect, quirks),
            endpoint,
            headers,
            signer,
            origin: Arc::new(Origin {
                provider: Arc::from(name),
                keys,
                api_keys,
                tokens,
                api_key_env,
            }),
            timeouts,
            simulated,
        })
    }

    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.origin.provider
    }

    /// Whether it was configured as the simulator. [`ChatStream::simulated`] knows better.
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.simulated
    }

    /// Whether this model of it can be given the beginning of an answer to go on from ([`ChatCall::beginning`]).
    #[must_use]
    pub fn can_continue(&self, model: &str) -> bool {
        self.dialect.can_continue(model)
    }

    /// Every key it has; one place where nothing is sent when it has none.
    pub fn keys(&self) -> impl Iterator<Item = KeyIndex> + use<> {
        self.origin.keys.all()
    }

    /// The next key in turn among those that are admitted. A key that the provider did not know lately is passed over,
    /// unless it knew none.
    pub fn next_key(&self, admitted: impl FnMut(KeyIndex) -> bool) -> Option<KeyIndex> {
        self.origin.keys.next(admitted)
    }

    /// [`Provider::start_with`] the next key in turn.
    ///
    /// # Errors
    /// When no connection comes about, the provider refuses, or what it sends is not an answer.
    pub async fn start(&self, call: &ChatCall<'_>) -> Result<ChatStream, ProviderError> {
        self.start_with(call, self.origin.keys.in_turn()).await
    }

    /// Sends the call with this key of ours and waits for the head of the response. Dropping the future, or the stream
    /// it returns, closes the connection (or resets the HTTP/2 stream), so that the provider stops too.
    ///
    /// # Errors
    /// When no connection comes about, the provider refuses, or what it sends is not an answer.
    pub async fn start_with(&self, call: &ChatCall<'_>, key: KeyIndex) -> Result<ChatStream, ProviderError> {
        let mut patience = Patience::new(self.timeouts, call.stream);
        let explain = |fault| self.origin.explain(fault, &Circumstances::unanswered(key));
        if call.beginning.is_some() && !self.dialect.can_continue(call.model) {
            return Err(explain(Fault::unsupported(
                "this model cannot be given the beginning of its answer",
            )));
        }
        let framing = call.stream.then(|| self.dialect.framing());
        let outgoing = self.dialect.request(call, &self.endpoint).map_err(explain)?;
        let mut request = self.request(outgoing, call, framing, key);
        if let Some(signer) = &self.signer {
            signer.sign(&mut request, clock::now()).map_err(explain)?;
        }
        let token = match &self.origin.tokens {
            Some(tokens) => match patience.wait_for(tokens.header()).await {
                Ok(token) => Some(token.map_err(explain)?),
                Err(phase) => return Err(explain(Fault::timeout(phase))),
            },
            None => None,
        };
        if let Some(token) = &token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let response = match patience.wait_for(self.client.execute(request)).await {
            Ok(response) => response.map_err(|error| explain(Fault::unsent(error)))?,
            Err(phase) => return Err(explain(Fault::timeout(phase))),
        };
        let circumstances = Circumstances {
            key,
            request_id: request_id(response.headers()),
            headroom: Headroom::read(response.headers(), clock::now()),
            simulated: self.simulated || response.headers().contains_key(SIMULATED_HEADER),
        };
        match self.judge(response, framing).await {
            Ok((response, format)) => {
                self.origin.keys.accepted(key);
                Ok(ChatStream::new(
                    response,
                    format,
                    self.dialect.reader(call),
                    patience,
                    call.answers(),
                    Arc::clone(&self.origin),
                    circumstances,
                ))
            }
            Err(fault) => {
                let refused = fault.kind == ErrorKind::Unauthorized { status: 401 };
                let error = self.origin.explain(fault, &circumstances);
                if let (Some(tokens), Some(token), true) = (&self.origin.tokens, &token, refused) {
                    tokens.refused(token);
                }
                Err(error)
            }
        }
    }

    fn request(
        &self,
        outgoing: Outgoing,
        call: &ChatCall<'_>,
        framing: Option<Framing>,
        key: KeyIndex,
    ) -> Request {
        let mut request = Request::new(Method::POST, outgoing.url);
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        for (name, value) in outgoing.headers {
            headers.entry(name).or_insert(value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static(media_type(framing)));
        // A trace must never make a call fail.
        if let Some(traceparent) = call
            .traceparent
            .and_then(|trace| HeaderValue::from_str(trace).ok())
        {
            headers.insert("traceparent", traceparent);
        }
        self.origin.keys.sign(key, headers);
        *request.body_mut() = Some(outgoing.body.into());
        request
    }

    /// Whether the head promises an answer, and in which form.
    async fn judge(&self, response: Response, framing: Option<Framing>) -> Result<(Response, Format), Fault> {
        let status = response.status();
        if !status.is_success() {
            let wait = retry_after(response.headers(), clock::now());
            let final_word = response
                .headers()
                .get("x-should-retry")
                .is_some_and(|value| value == "false");
            let body = beginning_of(response).await;
            return Err(self.dialect.refusal(status, wait, &body).final_word(final_word));
        }
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let essence = content_type
            .and_then(|text| text.split(';').next())
            .map(|text| text.trim().to_ascii_lowercase());
        match essence {
            Some(other) if other != media_type(framing) => {
                let body = beginning_of(response).await;
                Err(Fault::wrong_content(&other, &body))
            }
            _ => Ok((response, framing.map_or(Format::Whole, Format::Events))),
        }
    }
}

/// The headers that go with every request, or the name of the first that cannot be sent.
fn fixed(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let header = |(name, value): (&String, &String)| {
        let parsed: (HeaderName, HeaderValue) = (name.parse().ok()?, value.parse().ok()?);
        Some(parsed)
    };
    headers
        .iter()
        .map(|pair| header(pair).ok_or_else(|| pair.0.clone()))
        .collect()
}

/// What an answer of this form calls itself; without framing it is whole.
fn media_type(framing: Option<Framing>) -> &'static str {
    match framing {
        Some(Framing::Sse) => "text/event-stream",
        Some(Framing::AwsEventStream) => "application/vnd.amazon.eventstream",
        None => "application/json",
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let mut found = REQUEST_ID_HEADERS.iter().filter_map(|name| headers.get(*name));
    found.find_map(|id| id.to_str().ok()).map(str::to_owned)
}

/// Keeps to where the configuration says; `https` says whether it will be used.
pub(super) fn http_client(https: bool, connect_timeout: Duration) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(concat!("mcpctl/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(KEEP_IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        // A prompt and a key go where the configuration says and nowhere else: not to whom a variable of the
        // environment or a redirect names.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never());
    // Without TLS no certificate is needed: on a bare machine without any, the simulator and local servers work.
    if https {
        builder.build()
    } else {
        builder.tls_certs_only([]).build()
    }
}

/// As much of a failure's body as we care to read. What went wrong with reading it does not matter.
async fn beginning_of(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < MOST_ERROR_BYTES
            && let Ok(Some(bytes)) = response.chunk().await
        {
            let room = MOST_ERROR_BYTES - body.len();
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    };
    // Out of time, what came so far explains enough.
    let _ = tokio::time::timeout(LONGEST_EXPLANATION, reading).await;
    body
}
