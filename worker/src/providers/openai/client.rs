//! Sends a chat request and looks at the head of the response. One HTTP client per provider, shared by all its calls;
//! one request per call, never repeated here.

use std::sync::Arc;
use std::time::Duration;

use async_openai::config::{Config, OpenAIConfig};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Request, Response, Url, redirect};
use secrecy::ExposeSecret;
use shared::clock;

use super::fault::{Fault, Origin};
use super::patience::Patience;
use super::request;
use super::stream::{ChatStream, Format};
use crate::providers::retry_after::retry_after;
use crate::providers::{ChatCall, ProviderError, ProviderSettings, SettingsError, Timeouts};

/// Below the minute after which common load balancers close idle connections, so that we rarely send into a
/// connection that is closing.
const KEEP_IDLE: Duration = Duration::from_secs(50);
/// As many as a worker has slots by default; more at once works, but is not kept.
const MOST_IDLE: usize = 256;
/// Of a body that only explains a failure.
const MOST_ERROR_BYTES: usize = 64 * 1024;
/// Explaining a failure may not take longer than that.
const LONGEST_EXPLANATION: Duration = Duration::from_secs(5);
const REQUEST_ID_HEADER: &str = "x-request-id";
/// The simulator says so itself, wherever it was started and whatever the configuration calls it.
const SIMULATED_HEADER: &str = "x-simulated";

/// A provider that speaks OpenAI's protocol. Cheap to share behind an `Arc`; holds the connections it keeps open.
#[derive(Debug)]
pub struct OpenAiProvider {
    client: Client,
    url: Url,
    headers: HeaderMap,
    origin: Arc<Origin>,
    timeouts: Timeouts,
    simulated: bool,
}

impl OpenAiProvider {
    /// Builds the client. Connects to nothing.
    ///
    /// # Errors
    /// When the base URL or the key cannot be used, or HTTPS is asked for and cannot be set up.
    pub fn new(settings: ProviderSettings) -> Result<Self, SettingsError> {
        let ProviderSettings {
            name,
            base_url,
            api_key,
            api_key_env,
            timeouts,
            simulated,
        } = settings;
        let bad_url = |problem: &str| SettingsError::BaseUrl {
            provider: name.clone(),
            problem: problem.to_owned(),
        };
        let base = Url::parse(&base_url).map_err(|error| bad_url(&format!("cannot be read: {error}")))?;
        check(&base).map_err(bad_url)?;
        let token = api_key
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .unwrap_or_default();
        if HeaderValue::from_str(token).is_err() {
            return Err(SettingsError::ApiKey {
                provider: name,
                env: api_key_env,
            });
        }
        // Every field is set, because the default of each is an OPENAI_* variable: another provider, or the
        // simulator, must never be sent OpenAI's key.
        let config = OpenAIConfig::default()
            .with_api_base(base.as_str().trim_end_matches('/'))
            .with_api_key(token)
            .with_org_id("")
            .with_project_id("");
        let mut headers = config.headers();
        if token.is_empty() {
            headers.remove(AUTHORIZATION);
        }
        if let Some(value) = headers.get_mut(AUTHORIZATION) {
            value.set_sensitive(true);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let url =
            Url::parse(&config.url("/chat/completions")).map_err(|error| bad_url(&error.to_string()))?;
        let client = http_client(&url, timeouts.connect).map_err(|source| SettingsError::Http {
            provider: name.clone(),
            source,
        })?;
        let origin = Arc::new(Origin {
            provider: Arc::from(name),
            api_key,
            api_key_env,
        });
        Ok(Self {
            client,
            url,
            headers,
            origin,
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

    /// Sends the call and waits for the head of the response. Dropping the future, or the stream it returns, closes
    /// the connection (or resets the HTTP/2 stream), so that the provider stops too.
    ///
    /// # Errors
    /// When no connection comes about, the provider refuses, or what it sends is not an answer.
    pub async fn start(&self, call: &ChatCall<'_>) -> Result<ChatStream, ProviderError> {
        let mut patience = Patience::new(self.timeouts, call.stream);
        let explain = |fault| self.origin.explain(fault, None);
        let request = self.request(call).map_err(|error| {
            explain(Fault::malformed(format!(
                "the request cannot be written as JSON: {error}"
            )))
        })?;
        let response = match patience.wait_for(self.client.execute(request)).await {
            Ok(response) => response.map_err(|error| explain(Fault::unsent(error)))?,
            Err(phase) => return Err(explain(Fault::timeout(phase))),
        };
        let request_id = response
            .headers()
            .get(REQUEST_ID_HEADER)
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        let simulated = self.simulated || response.headers().contains_key(SIMULATED_HEADER);
        match judge(response, call.stream).await {
            Ok((response, format)) => Ok(ChatStream::new(
                response,
                format,
                patience,
                request::answers(call),
                Arc::clone(&self.origin),
                request_id,
                simulated,
            )),
            Err(fault) => Err(self.origin.explain(fault, request_id.as_deref())),
        }
    }

    fn request(&self, call: &ChatCall<'_>) -> Result<Request, serde_json::Error> {
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = self.headers.clone();
        let accept = if call.stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static(accept));
        // A trace must never make a call fail.
        if let Some(traceparent) = call
            .traceparent
            .and_then(|trace| HeaderValue::from_str(trace).ok())
        {
            request.headers_mut().insert("traceparent", traceparent);
        }
        *request.body_mut() = Some(request::body(call)?.into());
        Ok(request)
    }
}

fn check(base: &Url) -> Result<(), &'static str> {
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
        return Err("must begin with http:// or https:// and name a host");
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err("must not hold a user or password; give an API key instead");
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err("must not have a query or fragment");
    }
    Ok(())
}

fn http_client(url: &Url, connect_timeout: Duration) -> Result<Client, reqwest::Error> {
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
    if url.scheme() == "https" {
        builder.build()
    } else {
        builder.tls_certs_only([]).build()
    }
}

/// Whether the head promises an answer, and in which form.
async fn judge(response: Response, stream: bool) -> Result<(Response, Format), Fault> {
    let status = response.status();
    if !status.is_success() {
        let wait = retry_after(response.headers(), clock::now());
        let final_word = response
            .headers()
            .get("x-should-retry")
            .is_some_and(|value| value == "false");
        let body = beginning_of(response).await;
        return Err(Fault::refused(status, wait, &body).final_word(final_word));
    }
    let content_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|text| text.split(';').next())
        .map(|text| text.trim().to_ascii_lowercase());
    let format = if stream { Format::Events } else { Format::Whole };
    match (essence.as_deref(), stream) {
        (Some("text/event-stream"), true) | (Some("application/json"), false) | (None, _) => {
            Ok((response, format))
        }
        (Some(other), _) => {
            let body = beginning_of(response).await;
            Err(Fault::wrong_content(other, &body))
        }
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
