//! Which providers are live: those that can be called with what the environment holds, and why the others cannot.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;

use super::{Catalog, Credentials, LiveCredentials, LiveWhen, Provider, valid};
use crate::config::Variables;

/// The providers of a catalog, told apart by whether they can be called.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    /// Those that can, sorted by name.
    pub live: Vec<LiveProvider>,
    /// Those that cannot, sorted by name.
    pub absent: Vec<Absent>,
}

/// A provider that can be called.
#[derive(Debug, Clone)]
pub struct LiveProvider {
    /// What is known of it.
    pub provider: Arc<Provider>,
    /// Its base URL, all placeholders filled, without a slash at the end.
    pub base_url: String,
    /// Its keys, which take turns; empty when it needs none and none is set.
    pub keys: Vec<SecretString>,
    /// What stands in for a key; none where one is set.
    pub credentials: Option<LiveCredentials>,
    /// The variable that held the keys, or the first of the credentials', for messages that tell a person where to look.
    pub key_env: Option<String>,
}

impl LiveProvider {
    /// How many it has: keys, or credentials in place of one; 0 when it needs none and none is set.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len() + usize::from(self.credentials.is_some())
    }
}

/// A provider that cannot be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Its name.
    pub provider: Arc<str>,
    /// Why.
    pub why: Absence,
}

/// Why a provider cannot be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// Nothing to call it with.
    NoKey {
        /// Variables of which none holds a key.
        keys: Vec<String>,
        /// Variables of what stands in for a key, as far as they are not set; none where nothing does.
        credentials: Vec<String>,
    },
    /// Its address, or what it is called with, needs this variable too.
    NoSetting(String),
    /// This variable does not make an address. Its value is not repeated: it may hold a password.
    BadAddress(String),
    /// It runs only where this variable says so.
    NotAskedFor(String),
    /// It is switched off.
    SwitchedOff,
    /// The simulator stands in for all.
    Simulated,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { keys, credentials } => {
                let ways = [keys.join(" or "), credentials.join(" and ")];
                let ways: Vec<&str> = ways.iter().map(String::as_str).collect();
                let ways: Vec<&str> = ways.into_iter().filter(|way| !way.is_empty()).collect();
                write!(f, "no key: set {}", ways.join(", or "))
            }
            Self::NoSetting(variable) => write!(f, "a setting is missing: set {variable}"),
            Self::BadAddress(variable) => {
                write!(
                    f,
                    "{variable} must give an address such as https://api.example.com/v1"
                )
            }
            Self::NotAskedFor(variable) => {
                write!(f, "not asked for: set {variable}, or name it in the catalog file")
            }
            Self::SwitchedOff => f.write_str("switched off"),
            Self::Simulated => f.write_str("the simulator never stands beside a real provider"),
        }
    }
}

impl Catalog {
    /// Which of the providers can be called with these variables.
    #[must_use]
    pub fn liveness(&self, variables: &Variables) -> Liveness {
        let simulated = self.providers.iter().any(|provider| provider.simulated);
        let mut found = Liveness::default();
        for provider in &self.providers {
            let access = if simulated && !provider.simulated {
                Err(Absence::Simulated)
            } else {
                access(provider, variables)
            };
            match access {
                Ok(live) => found.live.push(live),
                Err(why) => found.absent.push(Absent {
                    provider: Arc::clone(&provider.name),
                    why,
                }),
            }
        }
        found
    }
}

fn access(provider: &Arc<Provider>, variables: &Variables) -> Result<LiveProvider, Absence> {
    let (key_env, keys) = keys(provider, variables).unzip();
    let keys: Vec<SecretString> = keys.unwrap_or_default();
    let missing = |credentials: &Credentials| credentials.missing(variables);
    let stand_in = provider.credentials.as_ref();
    let stand_in = stand_in.filter(|credentials| keys.is_empty() && missing(credentials).is_empty());
    let own_address = provider
        .base_url_env
        .as_deref()
        .filter(|name| variables.get(name).is_some());
    match provider.live_when {
        LiveWhen::Never => return Err(Absence::SwitchedOff),
        LiveWhen::Key if keys.is_empty() && stand_in.is_none() => {
            return Err(Absence::NoKey {
                keys: provider.key_env.clone(),
                credentials: provider.credentials.as_ref().map(missing).unwrap_or_default(),
            });
        }
        LiveWhen::BaseUrl if own_address.is_none() => {
            let variable = provider.base_url_env.clone().unwrap_or_default();
            return Err(Absence::NotAskedFor(variable));
        }
        LiveWhen::Key | LiveWhen::BaseUrl | LiveWhen::Always => {}
    }
    let credentials = stand_in
        .map(|credentials| credentials.read(variables))
        .transpose()?;
    let key_env = key_env.or_else(|| Some((*stand_in?.required().first()?).to_owned()));
    let base_url = match own_address {
        Some(name) => variables.get(name).unwrap_or_default().to_owned(),
        None => filled(&provider.base_url, variables)?,
    };
    if valid::address(&base_url).is_err() {
        let blamed = own_address
            .map(str::to_owned)
            .or_else(|| first_placeholder(&provider.base_url));
        return Err(Absence::BadAddress(
            blamed.unwrap_or_else(|| "base_url".to_owned()),
        ));
    }
    Ok(LiveProvider {
        provider: Arc::clone(provider),
        base_url: base_url.trim_end_matches('/').to_owned(),
        keys,
        credentials,
        key_env,
    })
}

/// The first variable that holds keys, and the keys.
fn keys(provider: &Provider, variables: &Variables) -> Option<(String, Vec<SecretString>)> {
    provider.key_env.iter().find_map(|name| {
        let keys: Vec<SecretString> = variables
            .get(name)?
            .split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(Into::into)
            .collect();
        (!keys.is_empty()).then(|| (name.clone(), keys))
    })
}

/// The address with the values of its placeholders.
fn filled(template: &str, variables: &Variables) -> Result<String, Absence> {
    let mut url = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, name, after)) = placeholder(rest) {
        url.push_str(before);
        let value = variables
            .get(name)
            .ok_or_else(|| Absence::NoSetting(name.to_owned()))?;
        url.push_str(value.trim_end_matches('/'));
        rest = after;
    }
    url.push_str(rest);
    Ok(url)
}

fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, after) = text.split_once('{')?;
    let (name, after) = after.split_once('}')?;
    Some((before, name, after))
}

fn first_placeholder(template: &str) -> Option<String> {
    placeholder(template).map(|(_, name, _)| name.to_owned())
}
