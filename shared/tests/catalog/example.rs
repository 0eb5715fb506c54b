//! `.env.example` is what people copy from: it names what is read, and nothing else.

use std::collections::BTreeSet;

use shared::catalog::{Catalog, Credentials};
use shared::config::{
    ApiConfig, CatalogConfig, Environment, PostgresConfig, ProviderConfig, RedisConfig, RoutingConfig,
    TelemetryConfig, WorkerConfig,
};

/// Another name of a variable that is in the example.
const ALIAS: &str = "POSTGRES_DSN";
/// Read by the command line, or where logging begins.
const ELSEWHERE: [&str; 4] = ["MCP_API_KEY", "MCP_SERVER", "MCP_THREADS", "RUST_LOG"];

#[test]
fn the_example_names_every_setting_and_no_other() {
    let settings = include_str!("../../../.env.example")
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let named: BTreeSet<&str> = settings
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' '))
        .collect();
    // The keys and addresses of providers are read by the names the catalog has for them; the example shows a few.
    let catalog = Catalog::built_in();
    let keys: BTreeSet<&str> = catalog
        .providers()
        .iter()
        .flat_map(|provider| {
            let keys = provider.key_env.iter().map(String::as_str);
            let credentials = provider.credentials.iter().flat_map(Credentials::variables);
            let placeholders = provider.base_url.split(['{', '}']).skip(1).step_by(2);
            keys.chain(credentials).chain(placeholders)
        })
        .collect();
    let read = read();
    let named: BTreeSet<&str> = named
        .into_iter()
        .filter(|name| read.contains(name) || !keys.contains(name))
        .collect();
    assert_eq!(named, read);
}

/// Every variable that some section reads.
fn read() -> BTreeSet<&'static str> {
    let mut env = Environment::from_values([]);
    PostgresConfig::read(&mut env);
    ApiConfig::read(&mut env, None);
    ProviderConfig::read(&mut env);
    RoutingConfig::read(&mut env);
    WorkerConfig::read(&mut env);
    CatalogConfig::read(&mut env);
    RedisConfig::read(&mut env);
    TelemetryConfig::read(&mut env);
    env.asked()
        .filter(|name| *name != ALIAS)
        .chain(ELSEWHERE)
        .collect()
}
