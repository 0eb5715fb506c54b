//! Catalogs and routers for tests.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use shared::catalog::{Catalog, LiveProvider};

use super::super::moment::Moment;
use super::super::plan::{Choice, Router, RouterSettings};
use super::super::ticket::CallEnd;
use super::super::verdict::Verdict;

pub(super) fn at(millis: u64) -> Moment {
    Moment::from_nanos((millis + 1_000) * 1_000_000)
}

/// A catalog from a text in the user's form.
pub(super) fn catalog(text: &str) -> Arc<Catalog> {
    Arc::new(Catalog::default().merge("test.toml", text).unwrap())
}

/// Providers `a`, `b`, ... as many as asked for, that all offer model `m` alike.
pub(super) fn alike(count: u8) -> String {
    let offer = |index: u8| {
        let name = char::from(b'a' + index);
        provider(&name.to_string(), "") + &model(&name.to_string(), "m", "")
    };
    (0..count).map(offer).collect()
}

pub(super) fn provider(name: &str, more: &str) -> String {
    format!("[providers.{name}]\nbase_url = \"http://{name}.example/v1\"\nauth = \"none\"\n{more}\n")
}

/// A model of tier 3 that can do everything, at 1 and 2 dollars, unless said otherwise.
pub(super) fn model(provider: &str, name: &str, more: &str) -> String {
    let mut text = format!("[[models]]\nprovider = \"{provider}\"\nname = \"{name}\"\n{more}\n");
    for (field, usual) in [
        ("capabilities", r#"["chat", "tools", "vision", "json_schema"]"#),
        ("prices", "{ input = 1.0, output = 2.0 }"),
        ("quality", "3"),
    ] {
        if !more.contains(&format!("{field} =")) {
            text += &format!("{field} = {usual}\n");
        }
    }
    text
}

/// All providers of a catalog but these, each with one key.
pub(super) fn live(catalog: &Catalog, but: &[&str]) -> Vec<LiveProvider> {
    let providers = catalog.providers().iter();
    providers
        .filter(|provider| !but.contains(&&*provider.name))
        .map(|provider| LiveProvider {
            provider: Arc::clone(provider),
            base_url: provider.base_url.clone(),
            keys: vec![SecretString::from("key")],
            credentials: None,
            key_env: None,
        })
        .collect()
}

pub(super) fn router(text: &str) -> Router {
    router_but(text, &[], RouterSettings::default())
}

pub(super) fn router_but(text: &str, but: &[&str], settings: RouterSettings) -> Router {
    let catalog = catalog(text);
    let live = live(&catalog, but);
    Router::new(settings, catalog, &live, NonZeroU32::MIN)
}

/// `provider/model` of a choice.
pub(super) fn id(choice: &Choice) -> String {
    choice.model.id()
}

/// Ends a call after so many milliseconds with its first token half-way.
pub(super) fn answer(mut choice: Choice, began: Moment, millis: u64) {
    let half = Duration::from_millis(millis / 2);
    choice.ticket.first_token(began.plus(half));
    let end = CallEnd {
        output_tokens: Some(101),
        ..CallEnd::of(Verdict::Well)
    };
    choice.ticket.end(&end, began.plus(half * 2));
}

pub(super) fn fail(choice: Choice, now: Moment) {
    choice.ticket.end(&CallEnd::of(Verdict::Ill), now);
}
