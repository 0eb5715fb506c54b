//! A prefix of its own on a Redis server for each test, as `database` is on a Postgres server.

use std::time::Duration;

use shared::domain::RunId;

use super::redis::ask;
use super::{PATIENCE, soon};

/// What an installation keeps in Redis while it runs: that the queue is whole, the round-robin between classes, and which
/// processes are idle. (`shared/src/dispatch/redis/scripts/shelf.lua` says what each key is.)
const KEPT: [&str; 3] = [":generation", ":credit", ":idle"];
/// What goes away by itself some seconds after the last run: which tenants had a run that ended, and that an offer was
/// refused.
const FADING: [&str; 2] = [":freed", ":lost"];

/// Everything there is under one prefix.
pub(crate) struct Namespace {
    url: String,
    prefix: String,
}

impl Namespace {
    /// One on the server of `TEST_REDIS_URL`.
    pub(crate) fn create() -> Self {
        let url = std::env::var("TEST_REDIS_URL")
            .expect("TEST_REDIS_URL is not set: run ./scripts/test, which starts a server and sets it");
        Self::on(url)
    }

    /// One on another server.
    pub(crate) fn on(url: String) -> Self {
        let prefix = format!("e2e_{}", RunId::new().uuid().simple());
        Self { url, prefix }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Every key, in order.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut cursor = "0".to_owned();
        let pattern = format!("*{}*", self.prefix);
        loop {
            let scan = ["SCAN", &cursor, "MATCH", &pattern, "COUNT", "1000"];
            let page: (String, Vec<String>) = soon("a page of keys", ask(&self.url, &scan))
                .await
                .expect("Redis answers");
            keys.extend(page.1);
            cursor = page.0;
            if cursor == "0" {
                keys.sort();
                keys.dedup();
                return keys;
            }
        }
    }

    /// Waits until nothing is left that is about a run.
    pub(crate) async fn emptied(&self) {
        self.left_with(&[&KEPT[..], &FADING].concat()).await;
    }

    /// The same, and what fades has faded.
    pub(crate) async fn faded(&self) {
        self.left_with(&KEPT).await;
    }

    /// Waits until there are no keys but some that end like these.
    async fn left_with(&self, endings: &[&str]) {
        let left = async || {
            let mut keys = self.keys().await;
            keys.retain(|key| !endings.iter().any(|ending| key.ends_with(ending)));
            keys
        };
        let none = async {
            while !left().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, none).await.is_err() {
            panic!("left in Redis: {:#?}", left().await);
        }
    }

    pub(crate) async fn drop(self) {
        for keys in self.keys().await.chunks(1_000) {
            let mut command = vec!["UNLINK"];
            command.extend(keys.iter().map(String::as_str));
            let removed: redis::RedisResult<i64> = ask(&self.url, &command).await;
            removed.expect("Redis answers");
        }
    }
}
