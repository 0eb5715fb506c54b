//! Looking things up in the catalog.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Capabilities, Catalog, Chain, Model, Origin, Provider, Split};

impl Catalog {
    /// Builds the indexes. Providers and models come sorted, each name once.
    pub(super) fn of(
        providers: Vec<Arc<Provider>>,
        models: Vec<Arc<Model>>,
        splits: HashMap<String, Split>,
        chains: HashMap<String, Chain>,
    ) -> Self {
        let provider_index = providers
            .iter()
            .enumerate()
            .map(|(position, provider)| (Arc::clone(&provider.name), position))
            .collect();
        let mut names: HashMap<String, Vec<u32>> = HashMap::new();
        let named = |takes: fn(&Provider) -> bool| -> HashSet<&str> {
            let taking = providers.iter().filter(|provider| takes(provider));
            taking.map(|provider| &*provider.name).collect()
        };
        let by_id_only = named(|provider| provider.by_id_only);
        let takes_any = named(|provider| provider.unlisted_models);
        // `openai/gpt-4o` at a provider `openai` that takes any model is asked of it, listed or not, and never of a
        // reseller who calls a model of his so.
        let taken = |name: &str| {
            name.split_once('/')
                .is_some_and(|(provider, _)| takes_any.contains(provider))
        };
        for (position, model) in (0_u32..).zip(&models) {
            let bare = (!by_id_only.contains(&*model.provider)).then_some(&model.name);
            for name in model.aliases.iter().chain(bare) {
                let name = name.to_lowercase();
                if taken(&name) {
                    continue;
                }
                let positions = names.entry(name).or_default();
                if positions.last() != Some(&position) {
                    positions.push(position);
                }
            }
        }
        // Last, and alone: `openai/gpt-4o` is OpenAI's model, though a reseller's name for it may be the same.
        for (position, model) in (0_u32..).zip(&models) {
            names.insert(model.id().to_lowercase(), vec![position]);
        }
        Self {
            providers,
            models,
            splits,
            chains,
            provider_index,
            names,
        }
    }

    /// All providers, sorted by name.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// All models, sorted by provider and name. A position in this list is good for this catalog only.
    #[must_use]
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// The provider of this name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.provider_index
            .get(name)
            .and_then(|&position| self.providers.get(position))
    }

    /// Positions in [`Catalog::models`] of all models that answer to this name, whoever offers them.
    #[must_use]
    pub fn positions(&self, name: &str) -> &[u32] {
        let found = if name.chars().any(char::is_uppercase) {
            self.names.get(name.to_lowercase().as_str())
        } else {
            self.names.get(name)
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// All models that answer to this name, whoever offers them.
    pub fn candidates(&self, name: &str) -> impl ExactSizeIterator<Item = &Arc<Model>> {
        self.positions(name)
            .iter()
            .map(|&position| &self.models[position as usize])
    }

    /// What a name stands for, when the user's file has made it a split.
    #[must_use]
    pub fn split(&self, name: &str) -> Option<&Split> {
        self.splits.get(name.to_lowercase().as_str())
    }

    /// What a name stands for, when the user's file has made it a chain.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.get(name.to_lowercase().as_str())
    }

    /// Models that the catalog does not list and that may be asked for all the same: `provider/anything` at that
    /// provider, any other name at the providers that take unlisted models. Nothing is known of what they can do, so
    /// they are taken to be able to do all that a chat needs.
    #[must_use]
    pub fn unlisted(&self, name: &str) -> Vec<Arc<Model>> {
        if let Some((provider, rest)) = name.split_once('/')
            && let Some(provider) = self.provider(provider)
            && !rest.is_empty()
        {
            return vec![Arc::new(unlisted(provider, rest))];
        }
        self.providers
            .iter()
            .filter(|provider| provider.unlisted_models)
            .map(|provider| Arc::new(unlisted(provider, name)))
            .collect()
    }
}

fn unlisted(provider: &Provider, name: &str) -> Model {
    Model {
        provider: Arc::clone(&provider.name),
        name: name.into(),
        aliases: Vec::new(),
        context_window: None,
        max_output: None,
        prices: provider.default_prices.clone(),
        capabilities: Capabilities {
            chat: true,
            tools: true,
            vision: true,
            json_schema: true,
            reasoning: true,
            embeddings: true,
        },
        quality: None,
        task_types: Vec::new(),
        origin: Origin {
            source: Arc::from("not in the catalog"),
            date: None,
        },
    }
}
