//! The operations of the native API, one method each. An answer is kept as it came, beside what was understood of it.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use shared::domain::RunId;

use super::error::{Action, Cause, ClientError};
use super::problem::Problem;
use super::server::Server;
use super::views::{Accepted, FleetView, ListQuery, NewRun, Page, ResultView, RunView};
use crate::exit::CliError;

const CONNECT: Duration = Duration::from_secs(5);
/// Between two pieces of an answer, and before the first.
const SILENCE: Duration = Duration::from_secs(60);
/// For the fleet's view, which is good to have and not more.
const FLEET: Duration = Duration::from_secs(3);

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Server,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply<T> {
    /// As it came.
    pub(crate) raw: String,
    /// What was understood.
    pub(crate) value: T,
    /// Whether the idempotency key was used before: nothing new was made.
    pub(crate) replayed: bool,
}

/// What there is of a result.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The run has ended.
    Ended(Box<Reply<ResultView>>),
    /// It has not.
    Unfinished(Box<Reply<RunView>>),
}

impl Client {
    pub(crate) fn new(server: Server) -> Result<Self, CliError> {
        let mut headers = HeaderMap::new();
        headers.extend(server.authorization()?.map(|value| (AUTHORIZATION, value)));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("mcpctl/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // The stream of a run is an upgraded HTTP/1.1 connection; nothing here gains from HTTP/2.
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // A redirect would turn a submit into a GET, or carry the prompt elsewhere.
            .redirect(Policy::none());
        if server.is_local() {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| CliError::Service {
            what: "cannot set up the HTTP client".to_owned(),
            source: error.into(),
            next: "check the machine's certificates (SSL_CERT_FILE)".to_owned(),
        })?;
        Ok(Self { http, server })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Hands in a run. The same key with the same body is the same run.
    pub(crate) async fn submit(
        &self,
        run: &NewRun,
        idempotency_key: &str,
    ) -> Result<Reply<Accepted>, ClientError> {
        let action = Action::Submit {
            idempotency_key: idempotency_key.to_owned(),
        };
        let request = self
            .request(Method::POST, &["request"])
            .header("idempotency-key", idempotency_key)
            .json(run);
        let response = self.send(&action, request).await?;
        self.reply(&action, response).await
    }

    pub(crate) async fn status(&self, run: RunId) -> Result<Reply<RunView>, ClientError> {
        let action = Action::Status(run);
        let response = self
            .send(&action, self.request(Method::GET, &["request", &run.to_string()]))
            .await?;
        self.reply(&action, response).await
    }

    pub(crate) async fn result(&self, run: RunId) -> Result<Outcome, ClientError> {
        let action = Action::Result(run);
        let request = self.request(Method::GET, &["request", &run.to_string(), "result"]);
        let response = self.send(&action, request).await?;
        Ok(if response.status() == StatusCode::ACCEPTED {
            Outcome::Unfinished(Box::new(self.reply(&action, response).await?))
        } else {
            Outcome::Ended(Box::new(self.reply(&action, response).await?))
        })
    }

    /// Asks for the run's end. The answer says whether it has come.
    pub(crate) async fn cancel(&self, run: RunId) -> Result<Reply<RunView>, ClientError> {
        let action = Action::Cancel(run);
        let response = self
            .send(&action, self.request(Method::POST, &["cancel", &run.to_string()]))
            .await?;
        self.reply(&action, response).await
    }

    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Reply<Page>, ClientError> {
        let response = self
            .send(
                &Action::List,
                self.request(Method::GET, &["requests"]).query(query),
            )
            .await?;
        self.reply(&Action::List, response).await
    }

    /// Asks how the process is; `ready` means whether it can work. Answers what it said, if that is not a refusal.
    pub(crate) async fn health(&self, ready: bool, within: Duration) -> Result<String, ClientError> {
        let segments: &[&str] = if ready { &["health", "ready"] } else { &["health"] };
        let request = self.http.get(self.server.at(segments));
        let asking = async {
            let response = self.send(&Action::Health, request).await?;
            response
                .text()
                .await
                .map_err(|error| self.broken(&Action::Health, &error))
        };
        tokio::time::timeout(within, asking).await.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", within.as_secs_f64());
            Err(self.error(&Action::Health, Cause::BrokeOff(why)))
        })
    }

    /// What the workers see of their providers. Whoever asks has more to show than this, so it does not wait for long.
    pub(crate) async fn fleet(&self) -> Result<FleetView, ClientError> {
        let action = Action::Providers;
        let asking = async {
            let request = self.request(Method::GET, &["admin", "providers"]);
            let response = self.send(&action, request).await?;
            self.reply(&action, response).await
        };
        let answer = tokio::time::timeout(FLEET, asking).await;
        let reply: Reply<FleetView> = answer.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", FLEET.as_secs());
            Err(self.error(&action, Cause::BrokeOff(why)))
        })?;
        Ok(reply.value)
    }

    /// A request below `/mcp/v1`.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let segments = [&["mcp", "v1"], path].concat();
        self.http.request(method, self.server.at(&segments))
    }

    /// Sends it. What comes back is not a refusal.
    pub(super) async fn send(
        &self,
        action: &Action,
        request: RequestBuilder,
    ) -> Result<Response, ClientError> {
        let response = request
            .send()
            .await
            .map_err(|error| self.broken(action, &error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let headers = response.headers().clone();
        // A refusal whose body got lost is still a refusal.
        let body = response.text().await.unwrap_or_default();
        Err(self.error(
            action,
            Cause::Refused(Problem::read(status.as_u16(), &headers, &body)),
        ))
    }

    pub(super) fn error(&self, action: &Action, cause: Cause) -> ClientError {
        ClientError::new(action.clone(), cause, &self.server)
    }

    pub(super) fn broken(&self, action: &Action, error: &reqwest::Error) -> ClientError {
        let why = root(error);
        let cause = if error.is_connect() {
            Cause::Unreachable(why)
        } else {
            Cause::BrokeOff(why)
        };
        self.error(action, cause)
    }

    async fn reply<T: DeserializeOwned>(
        &self,
        action: &Action,
        response: Response,
    ) -> Result<Reply<T>, ClientError> {
        let replayed = response
            .headers()
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true");
        let raw = response
            .text()
            .await
            .map_err(|error| self.broken(action, &error))?;
        match serde_json::from_str(&raw) {
            Ok(value) => Ok(Reply { raw, value, replayed }),
            Err(error) => Err(self.error(action, Cause::NotOurs(error.to_string()))),
        }
    }
}

/// What lies at the bottom of it: "error sending request" helps nobody.
fn root(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() {
            format!("no connection within {} s", CONNECT.as_secs())
        } else {
            format!("nothing came for {} s", SILENCE.as_secs())
        };
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
