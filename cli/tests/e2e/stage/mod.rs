//! What campaigns are played on: an installation of its own for each test, taken down at the end, when nothing may be
//! left behind.

pub(crate) mod client;
mod database;
mod namespace;
mod ports;
pub(crate) mod postgres;
mod process;
pub(crate) mod proxy;
pub(crate) mod redis;
mod resp;
pub(crate) mod wire;

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Simulator, SimulatorConfig};
use tempfile::TempDir;

pub(crate) use client::{Client, Frame, Watcher};
pub(crate) use database::Database;
pub(crate) use namespace::Namespace;
pub(crate) use process::{Command, Process};

/// No test needs as long as this; whoever waits for longer waits in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Leases in tests: short, so that nobody waits ten seconds for a rescue.
pub(crate) const LEASE: Duration = Duration::from_millis(2_000);

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("in vain: {what}"),
    }
}

/// How an installation is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `mcpctl up`: one process on SQLite.
    Embedded,
    /// `mcpctl api` and `mcpctl worker` on Postgres.
    Cluster,
    /// The same, with Redis as their fast path.
    Redis,
}

impl Mode {
    /// Whether APIs and workers are processes of their own.
    pub(crate) fn is_cluster(self) -> bool {
        self != Self::Embedded
    }
}

/// An installation.
pub(crate) struct Stage {
    pub(crate) mode: Mode,
    pub(crate) simulator: Simulator,
    settings: Vec<(String, String)>,
    /// An admin's API key, if there are keys.
    key: Option<String>,
    place: Place,
    /// The `up` process, or the APIs.
    pub(crate) apis: Vec<Process>,
    pub(crate) workers: Vec<Process>,
}

enum Place {
    Folder(TempDir),
    Database(Database, Option<Namespace>),
}

impl Stage {
    /// One API and one worker, or both in one process.
    pub(crate) async fn open(mode: Mode) -> Self {
        Self::with(mode, &[]).await
    }

    /// The same, with settings of the environment.
    pub(crate) async fn with(mode: Mode, settings: &[(&str, &str)]) -> Self {
        let mut stage = Self::empty(mode, settings).await;
        stage.start_api().await;
        if mode.is_cluster() {
            stage.start_worker().await;
        }
        stage
    }

    /// A place, a schema and a provider; no process yet.
    pub(crate) async fn empty(mode: Mode, settings: &[(&str, &str)]) -> Self {
        let place = match mode {
            Mode::Embedded => Place::Folder(tempfile::tempdir().expect("a folder")),
            Mode::Cluster => Place::Database(Database::create().await, None),
            Mode::Redis => Place::Database(Database::create().await, Some(Namespace::create())),
        };
        Self::at(place, settings).await
    }

    /// A cluster on this database and, if there is one, this Redis; no process yet.
    pub(crate) async fn on(
        database: Database,
        namespace: Option<Namespace>,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::at(Place::Database(database, namespace), settings).await
    }

    async fn at(place: Place, settings: &[(&str, &str)]) -> Self {
        let config = SimulatorConfig {
            first_token_delay: Duration::ZERO,
            token_interval: Duration::ZERO,
            ..SimulatorConfig::default()
        };
        let simulator = Simulator::bind("127.0.0.1:0", config)
            .await
            .expect("the simulator listens");
        let mut all = vec![
            ("MCP_SIMULATOR_URL".to_owned(), simulator.base_url()),
            ("MCP_LEASE_MS".to_owned(), LEASE.as_millis().to_string()),
            ("MCP_RETRY_BASE_MS".to_owned(), "50".to_owned()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
        ];
        let mode = match &place {
            Place::Folder(_) => Mode::Embedded,
            Place::Database(database, namespace) => {
                all.push(("DATABASE_URL".to_owned(), database.url().to_owned()));
                all.push((
                    "MCP_HASH_KEY".to_owned(),
                    "0123456789abcdef0123456789abcdef".to_owned(),
                ));
                all.push(("MCP_DATABASE_CONNECTIONS".to_owned(), "6".to_owned()));
                match namespace {
                    None => Mode::Cluster,
                    Some(namespace) => {
                        all.push(("REDIS_URL".to_owned(), namespace.url().to_owned()));
                        all.push(("MCP_REDIS_PREFIX".to_owned(), namespace.prefix().to_owned()));
                        Mode::Redis
                    }
                }
            }
        };
        all.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let key = all
            .iter()
            .filter(|(name, _)| name == "MCP_API_KEYS")
            .flat_map(|(_, keys)| keys.split(','))
            .find_map(|entry| Some(entry.strip_suffix(":admin")?.split_once(':')?.1.to_owned()));
        let stage = Self {
            mode,
            simulator,
            settings: all,
            key,
            place,
            apis: Vec::new(),
            workers: Vec::new(),
        };
        if mode.is_cluster() {
            let migrated = stage.command(&["migrate"]).finish().await;
            assert!(migrated.success(), "migrate: {migrated}");
        }
        stage
    }

    /// A process of `mcpctl` with this installation's settings, not started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        Command::mcpctl(arguments, &self.settings)
    }

    /// Starts an API (embedded: the whole process) and returns its client.
    pub(crate) async fn start_api(&mut self) -> Client {
        let process = self.api_command(&[]).start();
        self.add_api(process).await
    }

    /// The command that starts an API (embedded: the whole process), with more settings.
    pub(crate) fn api_command(&self, settings: &[(&str, &str)]) -> Command {
        let command = match &self.place {
            Place::Folder(folder) => {
                let data = folder.path().to_str().expect("a readable path");
                self.command(&["up", "--port", "0", "--data", data])
            }
            Place::Database(..) => self.command(&["api", "--port", "0"]),
        };
        command.with(settings)
    }

    /// Waits until a started API listens.
    pub(crate) async fn add_api(&mut self, mut process: Process) -> Client {
        let line = process.line_with("http://").await;
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .expect("a URL");
        let origin: String = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        process.origin = Some(origin.clone());
        self.apis.push(process);
        self.client_at(origin)
    }

    fn client_at(&self, origin: String) -> Client {
        let client = Client::new(origin);
        match &self.key {
            Some(key) => client.with_key(key),
            None => client,
        }
    }

    /// Starts a worker and waits until it has registered.
    pub(crate) async fn start_worker(&mut self) {
        self.start_worker_with(&[]).await;
    }

    /// The same, with more settings.
    pub(crate) async fn start_worker_with(&mut self, settings: &[(&str, &str)]) {
        let mut process = self.recipe().worker().with(settings).start();
        process.log_with("worker registered").await;
        process.origin = Some(health_of(&mut process).await);
        self.workers.push(process);
    }

    /// What it takes to start more workers without the stage.
    pub(crate) fn recipe(&self) -> Recipe {
        assert!(self.mode.is_cluster(), "embedded, the worker is in the process");
        Recipe(self.settings.clone())
    }

    /// The client of the latest API; an admin's, if there are keys.
    pub(crate) fn client(&self) -> Client {
        self.client_of(self.apis.len() - 1)
    }

    /// The client of one API.
    pub(crate) fn client_of(&self, index: usize) -> Client {
        self.client_at(self.apis[index].origin.clone().expect("a listening API"))
    }

    /// The process that executes runs.
    pub(crate) fn executor(&mut self) -> &mut Process {
        match self.mode {
            Mode::Embedded => self.apis.last_mut().expect("a process"),
            Mode::Cluster | Mode::Redis => self.workers.last_mut().expect("a worker"),
        }
    }

    /// Kills whoever executes runs, as `kill -9` does, and starts a successor. In a cluster the API stays.
    pub(crate) async fn kill_executor_and_replace(&mut self) {
        self.executor().kill().await;
        match self.mode {
            Mode::Embedded => {
                self.start_api().await;
            }
            Mode::Cluster | Mode::Redis => self.start_worker().await,
        }
    }

    /// Kills every process at once, and starts as many of the same.
    pub(crate) async fn kill_everything_and_start_again(&mut self) {
        let (apis, workers) = (self.apis.len(), self.workers.len());
        for process in self.apis.iter_mut().chain(&mut self.workers) {
            process.kill().await;
        }
        for _ in 0..apis {
            self.start_api().await;
        }
        for _ in 0..workers {
            self.start_worker().await;
        }
    }

    /// Reads a run to its end after something was killed: with the same watcher where its API lives, else with another
    /// one that goes on from its cursor. Returns everything both saw.
    pub(crate) async fn read_on(&self, run: &str, watcher: Watcher) -> Vec<String> {
        if self.mode.is_cluster() {
            return watcher.rest().await;
        }
        let mut seen = watcher.broken().await;
        let last: Value = serde_json::from_str(seen.last().expect("something seen")).expect("JSON");
        let after = last["cursor"].as_str().expect("a cursor");
        seen.extend(self.client().watch(run, Some(after)).await.rest().await);
        seen
    }

    /// What the simulator answers to the prompt of [`Client::submit_to`] with so many tokens.
    pub(crate) fn text(tokens: u32) -> String {
        simulator::expected_text(SimulatorConfig::default().seed, client::PROMPT, tokens)
    }

    /// The database of a cluster.
    pub(crate) fn database(&self) -> &Database {
        match &self.place {
            Place::Database(database, _) => database,
            Place::Folder(_) => panic!("embedded"),
        }
    }

    /// What is in Redis of a cluster that has one.
    pub(crate) fn namespace(&self) -> &Namespace {
        match &self.place {
            Place::Database(_, Some(namespace)) => namespace,
            _ => panic!("without Redis"),
        }
    }

    /// Kills everything, for tests that leave work behind on purpose.
    pub(crate) async fn abandon(mut self) {
        for mut process in self.workers.drain(..).chain(self.apis.drain(..)) {
            process.kill().await;
        }
        self.place.remove().await;
    }

    /// Takes everything down, and sees that nothing is left: no run queued or running, no provider call open, and in
    /// Redis nothing about any run.
    pub(crate) async fn close(mut self) {
        let client = self.client();
        soon("an empty queue", async {
            loop {
                let metrics = client.get("/mcp/v1/admin/metrics").await;
                let left = |class: &Value| {
                    ["ready", "running", "delayed"]
                        .iter()
                        .any(|key| class[key] != json!(0))
                };
                if !metrics.body["classes"]
                    .as_array()
                    .expect("classes")
                    .iter()
                    .any(left)
                {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        soon(
            "no open provider call",
            self.simulator.wait_for(|stats| stats.open == 0),
        )
        .await;
        if let Place::Database(_, Some(namespace)) = &self.place {
            // Whoever fell back in silence would pass every other test.
            let processes = self.workers.iter_mut().chain(&mut self.apis);
            for process in processes.filter_map(|process| process.runs().then_some(process)) {
                let origin = process.origin.clone().expect("an origin");
                until_redis_is(true, &client.at(origin)).await;
            }
            namespace.emptied().await;
        }
        for process in self.workers.drain(..).chain(self.apis.drain(..)) {
            process.stop().await;
        }
        self.place.remove().await;
    }
}

/// The settings of an installation.
pub(crate) struct Recipe(Vec<(String, String)>);

impl Recipe {
    /// The command that starts a worker. It serves its metrics.
    pub(crate) fn worker(&self) -> Command {
        Command::mcpctl(&["worker", "--health-port", "0"], &self.0)
    }
}

impl Place {
    async fn remove(self) {
        if let Self::Database(database, namespace) = self {
            database.drop().await;
            if let Some(namespace) = namespace {
                namespace.drop().await;
            }
        }
    }
}

/// Where a worker that has registered serves its health and metrics.
pub(crate) async fn health_of(worker: &mut Process) -> String {
    let line = worker.log_with("health and metrics").await;
    let port = line.rsplit(':').next().expect("a port").trim();
    format!("http://127.0.0.1:{port}")
}

/// Whether a process goes by way of Redis at this moment; none when it does not answer.
pub(crate) async fn is_redis_up(process: &Client) -> Option<bool> {
    let request = process.request(reqwest::Method::GET, "/metrics");
    let reply = process.try_send(request).await.ok()?;
    let metrics = reply.body.as_str().unwrap_or_default();
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("mcp_redis_up "));
    Some(value.unwrap_or_else(|| panic!("it does not tell: {}", reply.body)) == "1")
}

/// Waits until a process goes by way of Redis, or does without.
pub(crate) async fn until_redis_is(up: bool, process: &Client) {
    let told = if up {
        "Redis is in use"
    } else {
        "Redis is not in use"
    };
    soon(told, async {
        while is_redis_up(process).await != Some(up) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// One test, told once, played in every mode.
macro_rules! all_modes {
    ($( $(#[$attribute:meta])* async fn $name:ident($mode:ident: Mode) $body:block )*) => {
        $(
            mod $name {
                use super::*;

                async fn play($mode: Mode) $body

                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread")]
                async fn embedded() {
                    play(Mode::Embedded).await;
                }

                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread")]
                async fn cluster() {
                    play(Mode::Cluster).await;
                }

                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread")]
                async fn redis() {
                    play(Mode::Redis).await;
                }
            }
        )*
    };
}
pub(crate) use all_modes;

/// One test that needs processes of their own, told once, played without Redis and with it.
macro_rules! cluster_modes {
    ($( $(#[$attribute:meta])* async fn $name:ident($mode:ident: Mode) $body:block )*) => {
        $(
            mod $name {
                use super::*;

                async fn play($mode: Mode) $body

                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread")]
                async fn cluster() {
                    play(Mode::Cluster).await;
                }

                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread")]
                async fn redis() {
                    play(Mode::Redis).await;
                }
            }
        )*
    };
}
pub(crate) use cluster_modes;
