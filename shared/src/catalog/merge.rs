//! Puts a document on top of a catalog, and says what in it cannot be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use toml::Spanned;

use super::document::{Document, WrittenModel, WrittenProvider, WrittenSplit};
use super::file::Fault;
use super::{
    Auth, Capabilities, Catalog, Chain, Dialect, Limits, LiveWhen, Model, Origin, Provider, Quirks, Split,
    Target, valid,
};
use crate::domain::chat::AUTO_MODEL;

/// What a catalog becomes.
pub(super) struct Merge {
    providers: BTreeMap<Arc<str>, Provider>,
    models: BTreeMap<(Arc<str>, Arc<str>), Model>,
    splits: HashMap<String, Split>,
    chains: HashMap<String, Chain>,
}

impl Merge {
    /// Begins with what a catalog has.
    pub(super) fn onto(catalog: &Catalog) -> Self {
        let provider = |provider: &Arc<Provider>| (Arc::clone(&provider.name), Provider::clone(provider));
        let model = |model: &Arc<Model>| {
            let key = (Arc::clone(&model.provider), Arc::clone(&model.name));
            (key, Model::clone(model))
        };
        Self {
            providers: catalog.providers.iter().map(provider).collect(),
            models: catalog.models.iter().map(model).collect(),
            splits: catalog.splits.clone(),
            chains: catalog.chains.clone(),
        }
    }

    /// Adds a provider or replaces the one of its name.
    pub(super) fn put_provider(&mut self, provider: Provider) {
        self.providers.insert(Arc::clone(&provider.name), provider);
    }

    /// The provider of this name.
    pub(super) fn provider_mut(&mut self, name: &str) -> Option<&mut Provider> {
        self.providers.get_mut(name)
    }

    /// Adds a model or replaces the one of its name.
    pub(super) fn put_model(&mut self, model: Model) {
        let key = (Arc::clone(&model.provider), Arc::clone(&model.name));
        self.models.insert(key, model);
    }

    /// Gives a provider the models of another.
    pub(super) fn copy_models(&mut self, from: &str, to: &Arc<str>) {
        let copies: Vec<Model> = self
            .models
            .values()
            .filter(|model| &*model.provider == from)
            .map(|model| Model {
                provider: Arc::clone(to),
                ..model.clone()
            })
            .collect();
        copies.into_iter().for_each(|model| self.put_model(model));
    }

    /// The models of a provider.
    pub(super) fn models_mut<'a>(&'a mut self, provider: &'a str) -> impl Iterator<Item = &'a mut Model> {
        self.models
            .values_mut()
            .filter(move |model| &*model.provider == provider)
    }

    /// Forgets the models of a provider.
    pub(super) fn forget_models(&mut self, provider: &str) {
        self.models.retain(|(of, _), _| &**of != provider);
    }

    /// The result.
    pub(super) fn finish(self) -> Catalog {
        Catalog::of(
            self.providers.into_values().map(Arc::new).collect(),
            self.models.into_values().map(Arc::new).collect(),
            self.splits,
            self.chains,
        )
    }

    /// Takes the list of providers that is compiled in.
    pub(super) fn known_providers(mut self, document: Document) -> Result<Self, Fault> {
        for (name, written) in document.providers {
            self.provider(&name, written, false)?;
        }
        Ok(self)
    }

    /// Takes a user's file, and is done.
    pub(super) fn user_file(mut self, document: Document) -> Result<Catalog, Fault> {
        for (name, written) in document.providers {
            self.provider(&name, written, true)?;
        }
        let origin = Origin {
            source: Arc::from("the user's catalog file"),
            date: None,
        };
        for written in document.models {
            let at = written.span().start;
            self.model(at, written.into_inner(), &origin)?;
        }
        let taken: Vec<String> = document
            .chains
            .keys()
            .map(|name| name.get_ref().to_lowercase())
            .collect();
        // Targets are models; so the names are put in once all are checked against the models.
        let mut splits = HashMap::new();
        let mut chains = HashMap::new();
        let models = self.names();
        for (name, written) in document.aliases {
            let key = own_name(&name)?;
            if taken.contains(&key) {
                return Err(Fault::at(
                    name.span().start,
                    format!("`{key}` is under [aliases] and under [chains]: keep one"),
                ));
            }
            splits.insert(key, models.split(&name, written)?);
        }
        for (name, links) in document.chains {
            if links.is_empty() {
                return Err(Fault::at(name.span().start, "a chain needs at least one model"));
            }
            for link in &links {
                models.must_have(link)?;
            }
            let links = links.into_iter().map(Spanned::into_inner).collect();
            chains.insert(own_name(&name)?, Chain { links });
        }
        self.splits.extend(splits);
        self.chains.extend(chains);
        Ok(self.finish())
    }

    fn provider(
        &mut self,
        name: &Spanned<String>,
        written: WrittenProvider,
        by_user: bool,
    ) -> Result<(), Fault> {
        let at = name.span().start;
        valid::provider_name(name.get_ref()).map_err(|reason| Fault::at(at, reason))?;
        let name: Arc<str> = name.get_ref().as_str().into();
        let mut provider = match self.providers.remove(&name) {
            Some(known) => known,
            None if written.base_url.is_none() => {
                return Err(Fault::at(
                    at,
                    format!("provider `{name}` is new: it needs a base_url"),
                ));
            }
            None => fresh(&name),
        };
        apply(&mut provider, written, by_user)?;
        self.put_provider(provider);
        Ok(())
    }

    fn model(&mut self, at: usize, written: WrittenModel, origin: &Origin) -> Result<(), Fault> {
        let Some(provider) = self.providers.get(written.provider.get_ref().as_str()) else {
            return Err(Fault::at(
                written.provider.span().start,
                format!("no provider is named `{}`", written.provider.get_ref()),
            ));
        };
        if written.name.is_empty() {
            return Err(Fault::at(at, "a model needs a name"));
        }
        let key: (Arc<str>, Arc<str>) = (Arc::clone(&provider.name), written.name.as_str().into());
        let mut model = self.models.remove(&key).unwrap_or_else(|| Model {
            provider: Arc::clone(&key.0),
            name: Arc::clone(&key.1),
            aliases: Vec::new(),
            context_window: None,
            max_output: None,
            prices: provider.default_prices.clone(),
            capabilities: Capabilities {
                chat: true,
                ..Capabilities::default()
            },
            quality: None,
            task_types: Vec::new(),
            origin: origin.clone(),
        });
        for alias in written.aliases.unwrap_or_default() {
            let alias = alias.to_lowercase();
            if alias == AUTO_MODEL {
                return Err(Fault::at(at, RESERVED));
            }
            if !model.aliases.iter().any(|known| **known == *alias) {
                model.aliases.push(alias.into());
            }
        }
        if let Some(prices) = written.prices {
            let place = prices.span().start;
            let prices = prices.get_ref().prices();
            model.prices = Some(prices.map_err(|reason| Fault::at(place, reason))?);
            model.origin = origin.clone();
        }
        set_some(&mut model.context_window, written.context_window);
        set_some(&mut model.max_output, written.max_output);
        set_some(&mut model.quality, written.quality);
        set(
            &mut model.capabilities,
            written.capabilities.map(Capabilities::from_iter),
        );
        set(&mut model.task_types, written.task_types);
        self.put_model(model);
        Ok(())
    }

    fn names(&self) -> Names<'_> {
        let mut known = HashSet::new();
        for model in self.models.values() {
            known.insert(model.id().to_lowercase());
            known.insert(model.name.to_lowercase());
            known.extend(model.aliases.iter().map(|alias| alias.to_lowercase()));
        }
        Names {
            known,
            providers: &self.providers,
        }
    }
}

const RESERVED: &str = "`auto` leaves the choice to the router: choose another name";

/// What a target may name.
struct Names<'a> {
    known: HashSet<String>,
    providers: &'a BTreeMap<Arc<str>, Provider>,
}

impl Names<'_> {
    fn must_have(&self, name: &Spanned<String>) -> Result<(), Fault> {
        let text = name.get_ref().as_str();
        let at_provider = text
            .split_once('/')
            .is_some_and(|(provider, model)| self.providers.contains_key(provider) && !model.is_empty());
        if at_provider || self.known.contains(&text.to_lowercase()) {
            return Ok(());
        }
        Err(Fault::at(
            name.span().start,
            format!("no model is named `{text}`; one the catalog does not list is written `provider/name`"),
        ))
    }

    fn split(&self, name: &Spanned<String>, written: WrittenSplit) -> Result<Split, Fault> {
        if written.targets.is_empty() {
            return Err(Fault::at(name.span().start, "an alias needs at least one target"));
        }
        let mut targets = Vec::with_capacity(written.targets.len());
        for target in written.targets {
            self.must_have(&target.model)?;
            if let Some(weight) = &target.weight
                && *weight.get_ref() == 0
            {
                return Err(Fault::at(
                    weight.span().start,
                    "a weight is at least 1: leave the target out instead",
                ));
            }
            targets.push(Target {
                model: target.model.into_inner(),
                weight: target.weight.map_or(1, Spanned::into_inner),
            });
        }
        Ok(Split { targets })
    }
}

fn own_name(name: &Spanned<String>) -> Result<String, Fault> {
    let key = name.get_ref().to_lowercase();
    match key.as_str() {
        "" => Err(Fault::at(name.span().start, "an empty name cannot be asked for")),
        AUTO_MODEL => Err(Fault::at(name.span().start, RESERVED)),
        _ => Ok(key),
    }
}

fn fresh(name: &Arc<str>) -> Provider {
    Provider {
        name: Arc::clone(name),
        title: name.to_string(),
        base_url: String::new(),
        base_url_env: None,
        dialect: Dialect::OpenAi,
        auth: Auth::default(),
        key_env: Vec::new(),
        credentials: None,
        limits: Limits::default(),
        local: false,
        live_when: LiveWhen::Key,
        simulated: false,
        unlisted_models: false,
        by_id_only: false,
        default_prices: None,
        quirks: Quirks::default(),
        source: "the user's catalog file".to_owned(),
        verified: None,
        unverified: None,
    }
}

fn apply(provider: &mut Provider, written: WrittenProvider, by_user: bool) -> Result<(), Fault> {
    let checked = |value: &Spanned<String>, check: fn(&str) -> Result<(), String>| {
        check(value.get_ref()).map_err(|reason| Fault::at(value.span().start, reason))
    };
    if let Some(url) = &written.base_url {
        checked(url, valid::base_url)?;
        provider.base_url = url.get_ref().trim_end_matches('/').to_owned();
    }
    if let Some(variable) = &written.base_url_env {
        checked(variable, valid::variable)?;
        provider.base_url_env = Some(variable.get_ref().clone());
    }
    if let Some(variables) = written.key_env {
        for variable in &variables {
            checked(variable, valid::variable)?;
        }
        provider.key_env = variables.into_iter().map(Spanned::into_inner).collect();
    }
    if let Some(credentials) = written.credentials {
        valid::credentials(credentials.get_ref())
            .map_err(|reason| Fault::at(credentials.span().start, reason))?;
        provider.credentials = Some(credentials.into_inner());
    }
    if let Some(auth) = written.auth {
        if let Auth::Header(header) = auth.get_ref() {
            valid::header(header).map_err(|reason| Fault::at(auth.span().start, reason))?;
        }
        provider.auth = auth.into_inner();
    }
    if let Some(limits) = written.limits {
        valid::limits(limits.get_ref()).map_err(|reason| Fault::at(limits.span().start, reason))?;
        provider.limits = limits.into_inner();
    }
    if let Some(prices) = written.default_prices {
        let checked = prices.get_ref().prices();
        provider.default_prices = Some(checked.map_err(|reason| Fault::at(prices.span().start, reason))?);
    }
    if let Some(path) = &written.quirks.chat_path {
        checked(path, valid::path)?;
        provider.quirks.chat_path = Some(path.get_ref().clone());
    }
    if let Some(headers) = written.quirks.headers {
        for name in headers.keys() {
            checked(name, valid::header)?;
        }
        let owned = headers
            .into_iter()
            .map(|(name, value)| (name.into_inner(), value));
        provider.quirks.headers = owned.collect();
    }
    set(&mut provider.quirks.dropped_params, written.quirks.dropped_params);
    set(
        &mut provider.quirks.max_tokens_field,
        written.quirks.max_tokens_field,
    );
    set(&mut provider.quirks.stream_options, written.quirks.stream_options);
    set(&mut provider.quirks.stream_usage, written.quirks.stream_usage);
    set(&mut provider.quirks.error_shape, written.quirks.error_shape);
    set(&mut provider.quirks.call_ids, written.quirks.call_ids);
    set(&mut provider.title, written.title);
    set(&mut provider.dialect, written.dialect);
    set(&mut provider.local, written.local);
    set(&mut provider.unlisted_models, written.unlisted_models);
    set(&mut provider.by_id_only, written.by_id_only);
    set(&mut provider.source, written.source);
    set_some(&mut provider.verified, written.verified);
    set_some(&mut provider.unverified, written.unverified);
    let needs_nothing = provider.key_env.is_empty() && provider.credentials.is_none();
    provider.live_when = match (written.enabled, provider.live_when) {
        (Some(false), _) => LiveWhen::Never,
        // What the environment has decided stays, unless the file says otherwise.
        (None, LiveWhen::Never) => LiveWhen::Never,
        (_, LiveWhen::Always) => LiveWhen::Always,
        // A user who writes a local provider down asks for it.
        _ if by_user && (provider.local || needs_nothing) => LiveWhen::Always,
        _ if provider.local => LiveWhen::BaseUrl,
        _ => LiveWhen::Key,
    };
    Ok(())
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn set_some<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}
