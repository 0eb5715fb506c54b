//! A line to Redis: to the tests' server with a prefix of its own, or to a server of the test's own.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use shared::config::RedisConfig;
use shared::domain::RunId;
use shared::redis_link::RedisLink;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What may be there when nothing is queued, as `scripts/shelf.lua` says: who waits, where the round-robin stands, that
/// hints are complete, and which tenants had a run that ended lately.
pub(crate) const LASTING: [&str; 4] = ["credit", "freed", "generation", "idle"];

/// A kept link.
pub(crate) struct Line {
    pub(crate) link: Arc<RedisLink>,
    _kept: DropGuard,
    /// Stopped after the link.
    server: Mutex<Option<Server>>,
    killed: AtomicBool,
}

impl Line {
    /// To the server that all tests share.
    pub(crate) async fn shared() -> Self {
        let url = std::env::var("TEST_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
        Self::open(url, None).await
    }

    /// To a server of its own, with these lines of configuration.
    pub(crate) async fn private(configuration: &[&str]) -> Self {
        let server = Server::start(configuration).await;
        Self::open(server.url.clone(), Some(server)).await
    }

    async fn open(url: String, server: Option<Server>) -> Self {
        let mut config = RedisConfig::new(SecretString::from(url));
        config.prefix = format!("test-{}", RunId::new().uuid().simple());
        let link = RedisLink::open(&config).await.expect("TEST_REDIS_URL answers");
        let kept = CancellationToken::new();
        let (keeper, until) = (Arc::clone(&link), kept.clone());
        tokio::spawn(async move { keeper.run(until).await });
        Self {
            link,
            _kept: kept.drop_guard(),
            server: Mutex::new(server),
            killed: AtomicBool::new(false),
        }
    }

    /// Every key of the dispatch, without what they all begin with.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let base = self.link.key("{d0}:");
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(format!("{base}*"))
                .arg("COUNT")
                .arg(1_000);
            let (next, page): (u64, Vec<String>) = self.link.query(&scan).await.unwrap();
            keys.extend(page.into_iter().map(|key| key[base.len()..].to_owned()));
            if next == 0 {
                keys.sort();
                keys.dedup();
                return keys;
            }
            cursor = next;
        }
    }

    /// Nothing is kept under a name that is not documented, and every tenant with work has a turn, or is parked.
    pub(crate) async fn check(&self) {
        if self.killed.load(Ordering::Relaxed) {
            return;
        }
        let mut turns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for set in ["ring:0", "ring:1", "ring:2", "parked"] {
            let mut range = redis::cmd("ZRANGE");
            range.arg(self.link.key(&format!("{{d0}}:{set}"))).arg(0).arg(-1);
            turns.insert(set.to_owned(), self.link.query(&range).await.unwrap());
        }
        for key in self.keys().await {
            if let Some(queue) = key.strip_prefix("queue:") {
                let (class, tenant) = queue.split_once(':').unwrap();
                let tenant = tenant.to_owned();
                let served = turns[&format!("ring:{class}")].contains(&tenant);
                let parked = turns["parked"].contains(&tenant);
                assert!(served != parked, "{key}: in its ring: {served}, parked: {parked}");
            } else {
                let known = LASTING.contains(&key.as_str())
                    || turns.contains_key(&key)
                    || ["delayed", "offered", "lost"].contains(&key.as_str());
                assert!(known, "{key} is not documented");
            }
        }
    }

    /// Removes everything, as a flush would.
    pub(crate) async fn clear(&self) {
        if self.killed.load(Ordering::Relaxed) {
            return;
        }
        let keys = self.keys().await;
        for some in keys.chunks(500) {
            let mut unlink = redis::cmd("UNLINK");
            for key in some {
                unlink.arg(self.link.key(&format!("{{d0}}:{key}")));
            }
            self.link.query::<()>(&unlink).await.unwrap();
        }
    }

    /// Kills the test's own server.
    pub(crate) fn kill_server(&self) {
        drop(self.server.lock().unwrap().take().expect("a server of its own"));
        self.killed.store(true, Ordering::Relaxed);
    }
}

/// A server that goes with the test.
struct Server {
    process: Child,
    url: String,
    _home: tempfile::TempDir,
}

impl Server {
    async fn start(configuration: &[&str]) -> Self {
        let program = std::env::var("MCP_TEST_REDIS_BIN").unwrap_or_else(|_| "redis-server".to_owned());
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("redis.sock");
        // No port, so none can be taken.
        let mut text = format!("port 0\nunixsocket {}\nsave \"\"\n", socket.display());
        for line in configuration {
            text.push_str(line);
            text.push('\n');
        }
        let file = home.path().join("redis.conf");
        std::fs::write(&file, text).unwrap();
        let process = Command::new(program)
            .arg(&file)
            .current_dir(home.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("MCP_TEST_REDIS_BIN starts");
        let listening = async {
            while tokio::net::UnixStream::connect(&socket).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), listening)
            .await
            .expect("the server listens");
        Self {
            process,
            url: format!("redis+unix://{}", socket.display()),
            _home: home,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
