//! Which providers and models there are: data compiled in, what the user's file adds to it, and which of it is live.
//! Reads files, and nothing else; makes no call, and never keeps a key.
//!
//! A model is asked for by a **name**: its id (`groq/llama-3.3-70b-versatile`), the provider's name for it, or an
//! alias; letters' case does not matter. A name can also stand for a weighted [`Split`] or a fallback [`Chain`].

mod access;
mod built_in;
mod configured;
mod credentials;
mod document;
mod file;
mod index;
mod live;
mod merge;
mod model;
mod prices;
mod provider;
mod valid;

use std::collections::HashMap;
use std::sync::Arc;

pub use access::{Absence, Absent, LiveProvider, Liveness};
pub use credentials::{AccountFile, AwsKey, Credentials, LiveCredentials, ServiceAccount, SigV4};
pub use file::CatalogError;
pub use live::{CatalogHandle, CatalogReloader, Reload};
pub use model::{Capabilities, Model, Origin, Quality};
pub use prices::{Prices, Rates, Tier, UsageCounts};
pub use provider::{
    Auth, Dialect, ErrorShape, Limits, LiveWhen, MaxTokensField, Provider, Quirks, StreamUsage,
};

/// Providers and models, indexed by name. Never changes: a changed file makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    providers: Vec<Arc<Provider>>,
    models: Vec<Arc<Model>>,
    splits: HashMap<String, Split>,
    chains: HashMap<String, Chain>,
    provider_index: HashMap<Arc<str>, usize>,
    /// Positions in `models` by every name, in lower case.
    names: HashMap<String, Vec<u32>>,
}

/// A name that stands for several models, each taking its share of the runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// At least one, none with weight 0.
    pub targets: Vec<Target>,
}

/// One share of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A model's name.
    pub model: String,
    /// Its share, in proportion to the others' weights.
    pub weight: u32,
}

/// A name that stands for models to be tried in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Names of models, at least one.
    pub links: Vec<String>,
}
