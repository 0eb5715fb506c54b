//! Everything between "a request was understood" and "the ledger is asked": what a request may say, what it will
//! take, on whose behalf it comes, and whether there is room for it. Nothing here writes anything.

mod canonical;
mod depth;
mod estimate;
mod history;
mod keyed_hash;
mod messages;
mod names;
mod tokenizer;
mod validate;

use shared::catalog::CatalogHandle;
use shared::config::{DepthLimits, HashKey};
use shared::domain::{RunId, TenantId, UserHash};
use shared::ledger::{Idempotency, NewRun, Reader};
use shared::telemetry::TraceContext;
use tokio_util::task::TaskTracker;

pub(crate) use depth::{Full, Place};
pub(crate) use messages::Messages;
pub(crate) use validate::{ChatRequest, invalid};

use crate::problem::Problem;
use depth::Depth;
use history::History;
use keyed_hash::KeyedHash;
use tokenizer::Tokenizers;

/// What the API has to know of providers: it never calls one, and needs none of their keys.
#[derive(Debug, Clone)]
pub struct ProviderFacts {
    /// Which there are and what they charge, now and later.
    pub catalog: CatalogHandle,
    /// The model that `auto` stands for; none where it is chosen by task type.
    pub auto: Option<String>,
}

/// What is known of a request beside its body.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Who is accounted.
    pub(crate) tenant: TenantId,
    /// The client's key for repeated submits.
    pub(crate) idempotency_key: Option<String>,
    /// The request's position in its trace.
    pub(crate) trace: TraceContext,
}

/// Admits runs: first the request, then the room for it.
pub(crate) struct Admission {
    hash: KeyedHash,
    depth: Depth,
    history: History,
    tokenizers: Tokenizers,
    providers: ProviderFacts,
}

impl Admission {
    /// Hashes with this key, keeps the queue within these limits, and admits what these providers may take. What it
    /// remembers of answers and of the queue is brought up to date by tasks on `tracker`, which end when the admission is
    /// dropped.
    pub(crate) fn new(
        key: HashKey,
        limits: DepthLimits,
        providers: ProviderFacts,
        reader: Reader,
        tracker: &TaskTracker,
    ) -> Self {
        Self {
            hash: KeyedHash::new(key),
            depth: Depth::new(limits, reader.clone(), tracker),
            history: History::spawn(reader, tracker),
            tokenizers: Tokenizers::new(tracker),
            providers,
        }
    }

    /// Turns a request into a run.
    ///
    /// # Errors
    /// A problem of status 422 for what a request may not say.
    pub(crate) fn run(&self, request: ChatRequest, origin: Origin) -> Result<NewRun, Problem> {
        let catalog = self.providers.catalog.current();
        let auto = self.providers.auto.as_deref();
        let valid = validate::validate(request, &catalog, auto)?;
        let user = valid
            .user_id
            .as_deref()
            .map(|user| self.user_hash(&origin.tenant, user));
        let idempotency = origin.idempotency_key.map(|key| Idempotency {
            key,
            body_hmac: self
                .hash
                .body(&origin.tenant, &canonical::bytes(&valid, user.as_ref())),
        });
        let estimate = estimate::estimate(&valid, &catalog, auto, &self.history, &self.tokenizers);
        Ok(NewRun {
            id: RunId::new(),
            kind: shared::domain::Kind::Chat,
            tenant: origin.tenant,
            user,
            class: valid.priority.into(),
            priority: valid.priority,
            task_type: valid.task_type,
            model: valid.spec.model.clone(),
            on_interruption: valid.on_interruption,
            deadline: valid.deadline,
            idempotency,
            estimate,
            spec: serde_json::to_string(&valid.spec).map_err(|error| Problem::internal(&error))?,
            metadata: valid.metadata.map(|metadata| metadata.get().to_owned()),
            trace_parent: Some(origin.trace.to_string()),
            simulated: names::is_simulated(&catalog),
        })
    }

    /// Keeps a place in the queue for a run of this tenant.
    ///
    /// # Errors
    /// When too much is queued, or when that cannot be found out.
    pub(crate) async fn place(&self, tenant: &TenantId) -> Result<Place, Full> {
        self.depth.reserve(tenant).await
    }

    /// The hash a user of a tenant is known by.
    pub(crate) fn user_hash(&self, tenant: &TenantId, user_id: &str) -> UserHash {
        self.hash.user(tenant, user_id)
    }
}
