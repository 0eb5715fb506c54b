//! The catalog that is compiled in: providers from `data/providers.toml`, models from `data/models.json`, which
//! `scripts/catalog` derives from a public price list.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::document::ModelList;
use super::file::parse;
use super::merge::Merge;
use super::{Capabilities, Catalog, Model, Origin};

const PROVIDERS: &str = include_str!("../../data/providers.toml");
const MODELS: &str = include_str!("../../data/models.json");

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "compiled-in data, the same in every build; a test reads it"
    )]
    read().expect("the catalog that is compiled in can be read")
});

/// The catalog that is compiled in.
pub(super) fn catalog() -> &'static Catalog {
    &CATALOG
}

fn read() -> Result<Catalog, String> {
    let providers = parse(PROVIDERS).map_err(|fault| format!("providers.toml: {fault:?}"))?;
    let mut merge = Merge::onto(&Catalog::of(
        Vec::new(),
        Vec::new(),
        HashMap::new(),
        HashMap::new(),
    ))
    .known_providers(providers)
    .map_err(|fault| format!("providers.toml: {fault:?}"))?;
    let list: ModelList = serde_json::from_str(MODELS).map_err(|error| format!("models.json: {error}"))?;
    let date: Arc<str> = list.origin.date.into();
    let listed: Arc<str> = format!("{} {}", list.origin.name, list.origin.version).into();
    let sources: Vec<Arc<str>> = list.sources.into_iter().map(Into::into).collect();
    for model in list.models {
        let Some(provider) = merge.provider_mut(&model.provider) else {
            return Err(format!("models.json: no provider `{}`", model.provider));
        };
        let provider = Arc::clone(&provider.name);
        let prices = model.prices.map(|prices| prices.prices()).transpose()?;
        let source = model.source.and_then(|position| sources.get(position));
        merge.put_model(Model {
            provider,
            name: model.name.into(),
            aliases: model.aliases.into_iter().map(Into::into).collect(),
            context_window: model.context_window,
            max_output: model.max_output,
            prices,
            capabilities: model.capabilities.into_iter().collect::<Capabilities>(),
            quality: model.quality,
            task_types: model.task_types,
            origin: Origin {
                source: Arc::clone(source.unwrap_or(&listed)),
                date: Some(Arc::clone(&date)),
            },
        });
    }
    Ok(merge.finish())
}
