//! Who can be called now: the router and a client for each live provider, both made anew when the catalog changes.
//! Running calls keep the client they began with. Reads no environment and no file: both are handed in.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use secrecy::ExposeSecret as _;
use shared::catalog::{Catalog, CatalogHandle, LiveProvider};
use shared::config::{RoutingConfig, Variables};
use shared::domain::{FiguresReport, LiveFigures, Timestamp};
use tokio::sync::Notify;

use crate::providers::{Provider, ProviderSettings, SettingsError, Timeouts};
use crate::routing::hedge::HedgeSettings;
use crate::routing::plan::{Router, RouterSettings};
use crate::routing::retry_budget::BudgetSettings;

/// What a roster is made from.
#[derive(Debug, Clone)]
pub struct RosterParts {
    /// The catalog in force, now and later.
    pub catalog: CatalogHandle,
    /// Where the keys are.
    pub variables: Variables,
    /// How to choose, and how long to wait for whom.
    pub config: RoutingConfig,
}

/// Who can be called now.
#[derive(Debug)]
pub struct Roster {
    router: Router,
    members: RwLock<Arc<Members>>,
    variables: Variables,
    timeouts: Timeouts,
    workers: Mutex<NonZeroU32>,
    learned: Mutex<HashSet<Pair>>,
    news: Notify,
}

type Members = HashMap<Arc<str>, Arc<Member>>;

/// A provider and the provider's name of a model.
pub(crate) type Pair = (Arc<str>, Arc<str>);

/// A provider that can be called.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client: Provider,
    live: LiveProvider,
}

impl Member {
    /// How many keys it has; 0 where it needs none.
    pub(crate) fn keys(&self) -> usize {
        self.live.key_count()
    }

    /// Whether a client made from this would be the same.
    fn is_made_from(&self, live: &LiveProvider) -> bool {
        let keys = |live: &LiveProvider| -> Vec<String> {
            live.keys
                .iter()
                .map(|key| key.expose_secret().to_owned())
                .collect()
        };
        self.live.provider == live.provider
            && self.live.base_url == live.base_url
            && self.live.key_env == live.key_env
            && keys(&self.live) == keys(live)
    }
}

impl Roster {
    /// Makes the clients of all live providers. Connects to nothing.
    ///
    /// # Errors
    /// When a provider's settings are not usable.
    pub fn new(parts: &RosterParts) -> Result<Self, SettingsError> {
        let RoutingConfig {
            timeouts,
            auto,
            hedge,
            retry_percent,
        } = &parts.config;
        let timeouts = Timeouts {
            connect: timeouts.connect,
            first_token: timeouts.first_token,
            between_tokens: timeouts.between_tokens,
            total: timeouts.total,
        };
        let settings = RouterSettings {
            hedge: HedgeSettings {
                enabled: *hedge,
                ..HedgeSettings::default()
            },
            budget: BudgetSettings {
                percent: *retry_percent,
                ..BudgetSettings::default()
            },
            auto: auto.clone(),
            writer: rand::random(),
            ..RouterSettings::default()
        };
        let catalog = parts.catalog.current();
        let live = catalog.liveness(&parts.variables).live;
        let members: Result<Members, SettingsError> = live
            .iter()
            .map(|live| Ok((Arc::clone(&live.provider.name), Arc::new(member(live, timeouts)?))))
            .collect();
        Ok(Self {
            router: Router::new(settings, catalog, &live, NonZeroU32::MIN),
            members: RwLock::new(Arc::new(members?)),
            variables: parts.variables.clone(),
            timeouts,
            workers: Mutex::new(NonZeroU32::MIN),
            learned: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// The router.
    #[must_use]
    pub const fn router(&self) -> &Router {
        &self.router
    }

    /// Takes over each catalog that comes into force, for ever. Cancel-safe.
    pub async fn follow(&self, mut catalog: CatalogHandle) {
        loop {
            catalog.changed().await;
            self.take_over(&catalog.current());
            tracing::info!("another catalog is in force");
        }
    }

    /// Divides the providers' limits among so many workers.
    pub(crate) fn shared_by(&self, workers: NonZeroU32, catalog: &CatalogHandle) {
        let before = {
            let mut known = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *known, workers)
        };
        if before != workers {
            self.take_over(&catalog.current());
        }
    }

    /// The clients first: what the router chooses then has one. A provider without a usable client is no longer live.
    fn take_over(&self, catalog: &Arc<Catalog>) {
        let before = self.members();
        let mut live = catalog.liveness(&self.variables).live;
        let mut members = Members::with_capacity(live.len());
        live.retain(|live| {
            let name = &live.provider.name;
            let made = match before.get(name).filter(|member| member.is_made_from(live)) {
                Some(member) => Ok(Arc::clone(member)),
                None => member(live, self.timeouts).map(Arc::new),
            };
            match made {
                Ok(member) => members.insert(Arc::clone(name), member).is_none(),
                Err(error) => {
                    tracing::warn!(%error, "the catalog names a provider that cannot be used");
                    false
                }
            }
        });
        let workers = *self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(members);
        self.router.update(Arc::clone(catalog), &live, workers);
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The provider of this name; none when it went with a catalog.
    pub(crate) fn member(&self, name: &str) -> Option<Arc<Member>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.get(name).cloned()
    }

    /// The names of all providers that can be called now, in order.
    #[must_use]
    pub fn member_names(&self) -> Vec<String> {
        let members = self.members();
        let mut names: Vec<String> = members.keys().map(|name| name.as_ref().to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// A breaker changed here: the other workers are to be told.
    pub(crate) fn learned(&self, pairs: impl IntoIterator<Item = Pair>) {
        self.learned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(pairs);
        self.news.notify_one();
    }

    /// Returns when there is something to tell. Cancel-safe.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// What is to be told; it counts as told from now on.
    pub(crate) fn untold(&self) -> HashSet<Pair> {
        std::mem::take(&mut *self.learned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What this worker sees of its providers. `wall` is now by the time all workers share.
    #[must_use]
    pub fn report(&self, wall: Timestamp) -> FiguresReport {
        let mut providers: Vec<LiveFigures> = self
            .members()
            .values()
            .map(|member| LiveFigures {
                provider: member.live.provider.name.as_ref().to_owned(),
                keys: u32::try_from(member.keys()).unwrap_or(u32::MAX),
                local: member.live.provider.local,
                simulated: member.live.provider.simulated,
            })
            .collect();
        providers.sort_unstable_by(|one, other| one.provider.cmp(&other.provider));
        FiguresReport {
            providers,
            models: self.router.figures(self.router.now(), wall),
            more: 0,
        }
    }
}

fn member(live: &LiveProvider, timeouts: Timeouts) -> Result<Member, SettingsError> {
    let provider = &live.provider;
    let client = Provider::new(ProviderSettings {
        name: provider.name.as_ref().to_owned(),
        dialect: provider.dialect,
        base_url: live.base_url.clone(),
        query: Vec::new(),
        auth: provider.auth.clone(),
        api_keys: live.keys.clone(),
        credentials: live.credentials.clone(),
        api_key_env: live.key_env.clone(),
        quirks: provider.quirks.clone(),
        timeouts,
        simulated: provider.simulated,
    })?;
    Ok(Member {
        client,
        live: live.clone(),
    })
}
