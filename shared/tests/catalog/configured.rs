//! The provider that the environment describes by itself works as it did before there was a catalog.

use shared::catalog::{Absence, Auth, Catalog, Liveness};
use shared::config::{Environment, ProviderConfig};

use super::live;

fn configured(values: &[(&str, &str)]) -> (Catalog, Liveness) {
    let owned = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut env = Environment::from_values(owned);
    let config = ProviderConfig::read(&mut env).unwrap();
    let variables = env.variables();
    env.finish().unwrap();
    let catalog = Catalog::built_in().with_configured(&config);
    let liveness = catalog.liveness(&variables);
    (catalog, liveness)
}

#[test]
fn a_key_alone_is_openai_as_the_catalog_knows_it() {
    let (catalog, found) = configured(&[("OPENAI_API_KEY", "k")]);
    assert_eq!(live(&found), ["openai"]);
    assert_eq!(found.live[0].base_url, "https://api.openai.com/v1");
    assert!(
        catalog
            .candidates("openai/gpt-4o")
            .next()
            .unwrap()
            .prices
            .is_some()
    );
    // Any model may be asked of it, as ever.
    assert!(
        catalog
            .unlisted("ft:mine")
            .iter()
            .any(|model| &*model.provider == "openai")
    );
}

#[test]
fn another_address_is_another_server() {
    let (catalog, found) = configured(&[
        ("OPENAI_BASE_URL", "http://localhost:9/v1/"),
        ("OPENAI_API_KEY", "k"),
    ]);
    assert_eq!(live(&found), ["openai"]);
    assert_eq!(
        (found.live[0].base_url.as_str(), found.live[0].keys.len()),
        ("http://localhost:9/v1", 1)
    );
    assert_eq!(
        catalog.candidates("openai/gpt-4o").count(),
        0,
        "nothing is known of its models"
    );
    let model = catalog.unlisted("openai/gpt-4o").remove(0);
    assert_eq!(model.prices, None, "and OpenAI's prices are not its own");
}

#[test]
fn without_a_key_it_is_live_and_none_is_sent() {
    let (_, found) = configured(&[("OPENAI_BASE_URL", "http://localhost:9/v1")]);
    assert_eq!(live(&found), ["openai"]);
    assert_eq!(
        (found.live[0].keys.len(), &found.live[0].provider.auth),
        (0, &Auth::None)
    );
}

#[test]
fn under_another_name_the_key_does_not_also_go_to_openai() {
    let (_, found) = configured(&[
        ("MCP_PROVIDER_NAME", "house"),
        ("OPENAI_BASE_URL", "http://localhost:9/v1"),
        ("OPENAI_API_KEY", "k"),
    ]);
    assert_eq!(live(&found), ["house"]);
    let openai = found
        .absent
        .iter()
        .find(|absent| &*absent.provider == "openai")
        .unwrap();
    assert_eq!(openai.why, Absence::SwitchedOff);
}

#[test]
fn openai_under_another_name_keeps_its_models() {
    let (catalog, found) = configured(&[("MCP_PROVIDER_NAME", "house"), ("OPENAI_API_KEY", "k")]);
    assert_eq!(live(&found), ["house"]);
    assert!(
        catalog
            .candidates("house/gpt-4o")
            .next()
            .unwrap()
            .prices
            .is_some()
    );
}

#[test]
fn its_price_is_that_of_all_its_models() {
    let (catalog, _) = configured(&[
        ("OPENAI_API_KEY", "k"),
        ("MCP_PRICE_INPUT_USD_PER_MILLION", "0.5"),
        ("MCP_PRICE_OUTPUT_USD_PER_MILLION", "2"),
    ]);
    for model in [
        catalog.candidates("openai/gpt-4o").next().unwrap().clone(),
        catalog.unlisted("openai/ft:mine").remove(0),
    ] {
        let base = model.prices.clone().unwrap().base;
        assert_eq!(
            (base.input.dollars(), base.output.dollars()),
            (0.5, 2.0),
            "{}",
            model.id()
        );
        assert_eq!(base.cached_input, None);
    }
    let elsewhere = catalog.candidates("azure/gpt-4o").next().unwrap();
    assert!((elsewhere.prices.clone().unwrap().base.input.dollars() - 2.5).abs() < f64::EPSILON);
}

#[test]
fn others_are_live_beside_it() {
    let (_, found) = configured(&[("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "g")]);
    assert_eq!(live(&found), ["groq", "openai"]);
}

#[test]
fn the_simulator_stands_alone() {
    let (catalog, found) = configured(&[
        ("MCP_SIMULATOR_URL", "http://127.0.0.1:9/v1"),
        ("GROQ_API_KEY", "g"),
    ]);
    assert_eq!(live(&found), ["simulator"]);
    assert!(found.live[0].provider.simulated);
    let groq = found
        .absent
        .iter()
        .find(|absent| &*absent.provider == "groq")
        .unwrap();
    assert_eq!(groq.why, Absence::Simulated);
    assert!(
        catalog
            .unlisted("anything")
            .iter()
            .any(|model| &*model.provider == "simulator")
    );
}

/// The file may say more of what the environment describes, and takes nothing of it away.
#[test]
fn a_file_on_top_keeps_what_the_environment_has_decided() {
    let (catalog, _) = configured(&[("OPENAI_BASE_URL", "http://localhost:9/v1")]);
    let merged = catalog
        .merge("my.toml", "[providers.openai]\nlimits = { rpm = 5 }")
        .unwrap();
    let found = merged.liveness(&super::variables(&[]));
    assert_eq!(live(&found), ["openai"]);
    assert_eq!(found.live[0].base_url, "http://localhost:9/v1");
}
