//! Who answers: the catalog with what the environment and the user's file add to it, and the providers of it that can be
//! called. Every role reads the same sections, so that one environment serves a whole installation.

use shared::catalog::{Catalog, CatalogHandle, CatalogReloader};
use shared::config::{CatalogConfig, Environment, ProviderConfig, RoutingConfig, Variables};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use worker::roster::RosterParts;

use super::start;
use crate::exit::CliError;

/// What the environment says about providers.
#[derive(Debug, Clone)]
pub(crate) struct ProviderSections {
    /// The one server that the environment describes by itself.
    pub(crate) configured: Option<ProviderConfig>,
    catalog: CatalogConfig,
    routing: RoutingConfig,
    variables: Variables,
}

impl ProviderSections {
    pub(crate) fn read(env: &mut Environment) -> Self {
        Self {
            configured: ProviderConfig::read(env),
            catalog: CatalogConfig::read(env),
            routing: RoutingConfig::read(env),
            variables: env.variables(),
        }
    }

    /// Builds the catalog. A file that is not a good one is an error here; later it is refused and the old one stays.
    pub(crate) fn open(self) -> Result<Providers, CliError> {
        let mut base = Catalog::built_in();
        if let Some(configured) = &self.configured {
            base = base.with_configured(configured);
        }
        let (catalog, reloader) = match self.catalog.file {
            Some(path) => CatalogReloader::open(base, path)
                .map(|(catalog, reloader)| (catalog, Some(reloader)))
                .map_err(|error| start::broken("the catalog file is not taken", error, "correct the file"))?,
            None => (CatalogHandle::fixed(base), None),
        };
        let listed = |configured: &ProviderConfig| {
            let current = catalog.current();
            current
                .models()
                .iter()
                .any(|model| *model.provider == *configured.name)
        };
        let known = self.configured.as_ref().is_some_and(listed);
        let config = self.routing.with_configured(self.configured.as_ref(), known);
        Ok(Providers {
            reloader,
            parts: RosterParts {
                catalog,
                variables: self.variables,
                config,
            },
        })
    }
}

/// The catalog in force and who can be called.
pub(crate) struct Providers {
    reloader: Option<CatalogReloader>,
    pub(crate) parts: RosterParts,
}

impl Providers {
    /// The names of those that can be called now, in order.
    pub(crate) fn live(&self) -> Vec<String> {
        let live = self.parts.catalog.current().liveness(&self.parts.variables).live;
        live.iter()
            .map(|live| live.provider.name.as_ref().to_owned())
            .collect()
    }

    /// Reads the user's file again whenever it changes, until told to end.
    pub(crate) fn keep_up(&mut self, tasks: &TaskTracker, ended: &CancellationToken) {
        if let Some(reloader) = self.reloader.take() {
            tasks.spawn(reloader.run(ended.clone()));
        }
    }
}
