//! By which names models are found.

use shared::catalog::{Catalog, Target};

use super::with;

fn ids(catalog: &Catalog, name: &str) -> Vec<String> {
    catalog.candidates(name).map(|model| model.id()).collect()
}

#[test]
fn an_id_names_one_model_in_whatever_case() {
    let catalog = Catalog::built_in();
    assert_eq!(ids(&catalog, "openai/gpt-4o"), ["openai/gpt-4o"]);
    assert_eq!(ids(&catalog, "OpenAI/GPT-4o"), ["openai/gpt-4o"]);
    let name = ids(&catalog, "gpt-4o");
    assert!(name.contains(&"openai/gpt-4o".to_owned()), "{name:?}");
    assert!(ids(&catalog, "no-such-model").is_empty());
}

/// A reseller's name for a model is often the maker's id of it.
#[test]
fn an_id_is_not_taken_by_a_resellers_name() {
    let catalog = with(
        "[[models]]\nprovider = 'openrouter'\nname = 'openai/gpt-4o'\n\
         [[models]]\nprovider = 'openrouter'\nname = 'nobody/new'\naliases = ['New-One']",
    );
    assert_eq!(ids(&catalog, "openai/gpt-4o"), ["openai/gpt-4o"]);
    assert_eq!(
        ids(&catalog, "openrouter/openai/gpt-4o"),
        ["openrouter/openai/gpt-4o"]
    );
    assert_eq!(ids(&catalog, "nobody/new"), ["openrouter/nobody/new"]);
    assert_eq!(ids(&catalog, "new-one"), ["openrouter/nobody/new"]);
}

#[test]
fn a_deployment_answers_to_its_id_and_to_aliases_only() {
    let catalog = Catalog::built_in();
    assert_eq!(ids(&catalog, "azure/gpt-4o"), ["azure/gpt-4o"]);
    assert!(!ids(&catalog, "gpt-4o").contains(&"azure/gpt-4o".to_owned()));
    let catalog = with("[[models]]\nprovider = 'azure'\nname = 'gpt-4o'\naliases = ['gpt-4o']");
    assert!(ids(&catalog, "gpt-4o").contains(&"azure/gpt-4o".to_owned()));
}

#[test]
fn unlisted_models_are_asked_for_by_provider_or_where_any_goes() {
    let catalog = Catalog::built_in();
    let unlisted =
        |name: &str| -> Vec<String> { catalog.unlisted(name).iter().map(|model| model.id()).collect() };
    assert_eq!(unlisted("groq/brand-new"), ["groq/brand-new"]);
    assert_eq!(
        unlisted("brand-new"),
        [
            "llamacpp/brand-new",
            "lmstudio/brand-new",
            "ollama/brand-new",
            "vllm/brand-new"
        ]
    );
    assert_eq!(unlisted("nobody/brand-new").len(), 4);
    assert!(catalog.unlisted("groq/brand-new")[0].prices.is_none());
}

#[test]
fn a_name_can_stand_for_a_split_or_a_chain() {
    let catalog = with(
        "[aliases.Fast]\ntargets = [{ model = 'groq/openai/gpt-oss-20b', weight = 3 }, { model = 'gpt-4o-mini' }]\n\
         [chains]\nbest = ['openai/gpt-4o', 'groq/not-listed-yet']",
    );
    let target = |model: &str, weight| Target {
        model: model.to_owned(),
        weight,
    };
    assert_eq!(
        catalog.split("FAST").unwrap().targets,
        [target("groq/openai/gpt-oss-20b", 3), target("gpt-4o-mini", 1)]
    );
    assert_eq!(
        catalog.chain("best").unwrap().links,
        ["openai/gpt-4o", "groq/not-listed-yet"]
    );
    assert!(catalog.split("best").is_none() && catalog.chain("fast").is_none());
}
