//! The API on a port of its own, over a stage, with a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{ApiParts, Drain, ProviderFacts};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use shared::config::{ApiConfig, DepthLimits, PressureLimits};
use shared::dispatch::{Dispatch, LedgerDispatch};
use shared::domain::{RunId, WorkerId};
use shared::ledger::{Claimed, NewWorker};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stage::{Stage, catalog};

pub(crate) const SUBMIT: &str = "/mcp/v1/request";
/// Small, so that tests can exceed it.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// A running API with everything under it. Must be closed, so that every test sees it come down.
pub(crate) struct House {
    pub(crate) stage: Arc<Stage>,
    pub(crate) dispatch: Dispatch,
    pub(crate) drain: Drain,
    pub(crate) address: SocketAddr,
    client: Client,
    task: JoinHandle<std::io::Result<()>>,
}

/// What a test may want otherwise.
pub(crate) struct Plan {
    pub(crate) keys: &'static [&'static str],
    pub(crate) depth: DepthLimits,
    pub(crate) pressure: PressureLimits,
    pub(crate) providers: ProviderFacts,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            keys: &[],
            depth: DepthLimits {
                per_tenant: 10_000,
                in_all: 10_000,
            },
            pressure: PressureLimits::default(),
            providers: ProviderFacts {
                catalog: catalog("openai", None, false),
                auto: Some("auto-model".to_owned()),
            },
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.unwrap();
        Self {
            status,
            headers,
            body: serde_json::from_str(&body).unwrap_or_else(|_| panic!("JSON: {body}")),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The run that was accepted.
    pub(crate) fn accepted(&self) -> RunId {
        assert_eq!(self.status, 202, "{self:?}");
        self.body["request_id"].as_str().unwrap().parse().unwrap()
    }

    /// Status, code and field of the problem that was answered, once its form was checked.
    pub(crate) fn problem(&self) -> (u16, &str, Option<&str>) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.body["status"], self.status);
        assert_eq!(self.body["request_id"].as_str(), self.header("x-request-id"));
        let code = self.body["code"].as_str().unwrap();
        assert_eq!(self.body["type"], format!("urn:mcp:problem:{code}"));
        for text in ["title", "detail", "instance"] {
            assert!(
                self.body[text].as_str().is_some_and(|text| !text.is_empty()),
                "{text}: {self:?}"
            );
        }
        assert_eq!(
            self.header("retry-after").is_some(),
            matches!(self.status, 429 | 503),
            "{self:?}"
        );
        (self.status, code, self.body["field"].as_str())
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::build(Plan::default()).await
    }

    pub(crate) async fn build(plan: Plan) -> Self {
        Self::over(Arc::new(Stage::open().await), plan).await
    }

    /// Another API over the same ledger, which shares nothing else with this one.
    pub(crate) async fn neighbour(&self) -> Self {
        Self::over(Arc::clone(&self.stage), Plan::default()).await
    }

    pub(crate) async fn over(stage: Arc<Stage>, plan: Plan) -> Self {
        let dispatch = LedgerDispatch::dispatch(Arc::clone(&stage.ledger.backlog));
        let drain = Drain::default();
        let parts = ApiParts {
            ledger: stage.ledger.clone(),
            offer: Arc::clone(&dispatch.offer),
            feed: stage.feed.clone(),
            config: ApiConfig {
                keys: plan.keys.iter().map(|key| key.parse().unwrap()).collect(),
                hash_key: "0123456789abcdef0123456789abcdef".parse().unwrap(),
                max_body_bytes: MAX_BODY_BYTES,
                depth: plan.depth,
                pressure: plan.pressure,
            },
            providers: plan.providers,
            metrics: None,
            drain: drain.clone(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(api::serve(listener, parts));
        Self {
            stage,
            dispatch,
            drain,
            address,
            client: Client::new(),
            task,
        }
    }

    pub(crate) async fn close(self) {
        drop(self.client);
        self.drain.finish();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client
            .request(method.parse().unwrap(), format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        Answer::of(self.request("POST", path).send().await.unwrap()).await
    }

    pub(crate) async fn submit(&self, body: &Value) -> Answer {
        Answer::of(self.request("POST", SUBMIT).json(body).send().await.unwrap()).await
    }

    pub(crate) async fn submit_with_key(&self, body: &Value, key: &str) -> Answer {
        let request = self
            .request("POST", SUBMIT)
            .json(body)
            .header("idempotency-key", key);
        Answer::of(request.send().await.unwrap()).await
    }

    /// A body that is not written by a JSON library.
    pub(crate) async fn submit_bytes(&self, body: impl Into<Vec<u8>>) -> Answer {
        let request = self
            .request("POST", SUBMIT)
            .header("content-type", "application/json")
            .body(body.into());
        Answer::of(request.send().await.unwrap()).await
    }

    /// A worker, and what it is given when it claims this run.
    pub(crate) async fn claim(&self, run: RunId) -> (WorkerId, Claimed) {
        let worker = NewWorker {
            id: WorkerId::new(),
            name: "reader".to_owned(),
            slots: 1,
        };
        let execute = &self.stage.ledger.execute;
        execute
            .register(&worker, Duration::from_secs(3_600))
            .await
            .unwrap();
        let mut claimed = execute.claim(worker.id, &[run], None).await.unwrap();
        (worker.id, claimed.pop().unwrap())
    }

    /// The next run that the queue proposes; waits for one.
    pub(crate) async fn proposed(&self) -> RunId {
        loop {
            if let Some(hint) = self.dispatch.propose.propose(1, None).await.unwrap().pop() {
                return hint.run;
            }
            self.dispatch.propose.ready().await;
        }
    }

    /// Runs in the ledger that wait for a worker.
    pub(crate) async fn queued(&self) -> u64 {
        self.stage.ledger.reader.queued(None, 1_000_000).await.unwrap()
    }
}
