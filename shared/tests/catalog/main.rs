//! The catalog: what is compiled in, what a user's file makes of it, who is live, what a call costs.

// Tells clippy that helpers, too, are test code.
#![cfg(test)]

mod configured;
mod costs;
mod document;
mod example;
mod liveness;
mod merging;
mod models;
mod naming;
mod providers;
mod refusing;
mod reloading;

use shared::catalog::{Catalog, Liveness};
use shared::config::{Environment, Variables};

/// The catalog that is compiled in, with a user's file of this text.
fn with(text: &str) -> Catalog {
    Catalog::built_in().merge("catalog.toml", text).unwrap()
}

fn variables(values: &[(&str, &str)]) -> Variables {
    let owned = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::from_values(owned).variables()
}

fn live(found: &Liveness) -> Vec<&str> {
    found.live.iter().map(|live| &*live.provider.name).collect()
}
