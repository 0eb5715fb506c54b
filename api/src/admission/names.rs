//! What a model's name stands for in the catalog, as far as admission has to know: it neither chooses nor asks who is
//! live, so the answer is everybody who could be meant.

use std::sync::Arc;

use shared::catalog::{Catalog, Dialect, LiveWhen, Model, Provider};
use shared::domain::chat::AUTO_MODEL;

/// Who might answer to a name. `auto` is the model it stands for, where there is one.
#[derive(Debug, PartialEq)]
pub(super) enum Meant {
    /// One of these; at least one.
    Some(Vec<Arc<Model>>),
    /// Whatever is good enough for the task.
    Any,
    /// Nobody in the catalog.
    Nobody,
}

impl Meant {
    /// Looks a name up: a chain stands for its links, a split for its targets.
    pub(super) fn by(name: &str, auto: Option<&str>, catalog: &Catalog) -> Self {
        let name = match (name, auto) {
            (AUTO_MODEL, Some(auto)) if auto != AUTO_MODEL => auto,
            (AUTO_MODEL, _) => return Self::Any,
            (name, _) => name,
        };
        let mut models = Vec::new();
        match catalog.chain(name) {
            Some(chain) => chain
                .links
                .iter()
                .for_each(|link| split(link, catalog, &mut models)),
            None => split(name, catalog, &mut models),
        }
        models.retain(|model| {
            let provider = catalog.provider(&model.provider);
            provider.is_some_and(|provider| may_answer(provider, catalog))
        });
        if models.is_empty() {
            Self::Nobody
        } else {
            Self::Some(models)
        }
    }

    /// Whether somebody who might answer may be able to go on from a broken answer. The worker knows it for sure.
    pub(super) fn may_continue(&self, catalog: &Catalog) -> bool {
        let able = |provider: &str| {
            let provider = catalog.provider(provider);
            provider.is_some_and(|provider| takes_a_beginning(provider.dialect))
        };
        match self {
            Self::Some(models) => models.iter().any(|model| able(&model.provider)),
            Self::Any => {
                let mut providers = catalog.providers().iter();
                providers.any(|provider| may_answer(provider, catalog) && able(&provider.name))
            }
            Self::Nobody => false,
        }
    }
}

/// Whether the simulator answers: it never stands beside a real provider.
pub(super) fn is_simulated(catalog: &Catalog) -> bool {
    catalog.providers().iter().any(|provider| provider.simulated)
}

/// Whether a provider may answer here at all. Whether its key is there, only the workers know.
pub(super) fn may_answer(provider: &Provider, catalog: &Catalog) -> bool {
    provider.live_when != LiveWhen::Never && provider.simulated == is_simulated(catalog)
}

fn split(name: &str, catalog: &Catalog, models: &mut Vec<Arc<Model>>) {
    match catalog.split(name) {
        Some(split) => split
            .targets
            .iter()
            .for_each(|target| named(&target.model, catalog, models)),
        None => named(name, catalog, models),
    }
}

fn named(name: &str, catalog: &Catalog, models: &mut Vec<Arc<Model>>) {
    let listed = catalog.candidates(name);
    if listed.len() == 0 {
        models.extend(catalog.unlisted(name));
    } else {
        models.extend(listed.cloned());
    }
}

/// Dialects whose requests may end with the beginning of the answer.
const fn takes_a_beginning(dialect: Dialect) -> bool {
    match dialect {
        Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock => true,
        Dialect::OpenAi | Dialect::Azure | Dialect::Cohere => false,
    }
}
