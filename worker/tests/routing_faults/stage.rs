//! A worker on a ledger of its own, and providers of the catalog that are simulators.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use migrations::migrate;
use serde_json::{Value, json};
use shared::catalog::{Catalog, CatalogHandle, CatalogReloader};
use shared::config::{Environment, RoutingConfig, WorkerConfig};
use shared::dispatch::{Dispatch, Hint, LedgerDispatch};
use shared::domain::{
    Class, Cursor, Estimate, Event, EventType, Interruption, Kind, LogEntry, ModelFigures, Priority, RunId,
    TenantId, Transcript,
};
use shared::feed::Feed;
use shared::ledger::{AccountedCall, Ledger, NewRun, StoredResult};
use shared::watch::{Watch, Watcher};
use simulator::{Simulator, SimulatorConfig};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use worker::roster::{Roster, RosterParts};
use worker::{Shutdown, Worker, WorkerParts};

pub(crate) const PROMPT: &str = "Tell me something";

/// No test needs as long as this; whoever waits for longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("in vain: {what}"),
    }
}

/// A provider for tests: at once, unless a script says otherwise.
pub(crate) async fn simulator() -> Simulator {
    let config = SimulatorConfig {
        first_token_delay: Duration::ZERO,
        token_interval: Duration::ZERO,
        ..SimulatorConfig::default()
    };
    Simulator::bind("127.0.0.1:0", config).await.unwrap()
}

/// What the simulator answers with so many tokens.
pub(crate) fn text(tokens: u32) -> String {
    simulator::expected_text(SimulatorConfig::default().seed, PROMPT, tokens)
}

/// A catalog file, put together line by line.
#[derive(Default, Clone)]
pub(crate) struct File(pub(crate) String);

impl File {
    /// A provider that needs no key.
    pub(crate) fn provider(self, name: &str, base_url: &str) -> Self {
        self.provider_with(name, base_url, "")
    }

    pub(crate) fn provider_with(mut self, name: &str, base_url: &str, more: &str) -> Self {
        writeln!(
            self.0,
            "[providers.{name}]\nbase_url = \"{base_url}\"\nauth = \"none\"\n{more}"
        )
        .unwrap();
        self
    }

    /// A model that costs 1 and 2 dollars per million tokens, and goes by this alias.
    pub(crate) fn model(mut self, provider: &str, name: &str, alias: &str) -> Self {
        writeln!(
            self.0,
            "[[models]]\nprovider = \"{provider}\"\nname = \"{name}\"\naliases = [\"{alias}\"]\n\
             capabilities = [\"chat\"]\nquality = 3\nprices = {{ input = 1.0, output = 2.0 }}"
        )
        .unwrap();
        self
    }

    /// `m` is `first`, then `second`.
    pub(crate) fn chain(mut self) -> Self {
        self.0.push_str("[chains]\nm = [\"first\", \"second\"]\n");
        self
    }

    pub(crate) fn catalog(&self) -> Catalog {
        Catalog::default().merge("test.toml", &self.0).unwrap()
    }
}

/// A ledger, and what lives on it.
pub(crate) struct Place {
    pub(crate) ledger: Ledger,
    pub(crate) feed: Feed,
    pub(crate) dispatch: Dispatch,
    _folder: TempDir,
}

impl Place {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open_sqlite(&folder.path().join("ledger.sqlite"))
            .await
            .unwrap();
        migrate(ledger.connection()).await.unwrap();
        Self {
            feed: Feed::local(),
            dispatch: LedgerDispatch::dispatch(ledger.backlog.clone()),
            ledger,
            _folder: folder,
        }
    }
}

/// How a worker is set up.
pub(crate) struct Setup {
    pub(crate) catalog: CatalogHandle,
    pub(crate) routing: RoutingConfig,
    pub(crate) worker: WorkerConfig,
}

impl Setup {
    pub(crate) fn new(file: &File) -> Self {
        Self {
            catalog: CatalogHandle::fixed(file.catalog()),
            routing: RoutingConfig::default(),
            worker: WorkerConfig {
                retry_base: Duration::from_millis(40),
                ..WorkerConfig::default()
            },
        }
    }
}

/// A worker that works.
pub(crate) struct Working {
    pub(crate) roster: Arc<Roster>,
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Working {
    pub(crate) fn start(ledger: &Ledger, dispatch: &Dispatch, feed: &Feed, setup: Setup) -> Self {
        let worker = Worker::new(WorkerParts {
            ledger: ledger.clone(),
            dispatch: dispatch.clone(),
            publish: feed.publish.clone(),
            config: setup.worker,
            providers: RosterParts {
                catalog: setup.catalog,
                variables: Environment::from_values([]).variables(),
                config: setup.routing,
            },
            name: "test".to_owned(),
            lease_held: watch::channel(false).0,
        })
        .unwrap();
        let (roster, shutdown) = (worker.roster(), Shutdown::default());
        let task = tokio::spawn(worker.run(shutdown.clone()));
        Self {
            roster,
            shutdown,
            task,
        }
    }

    /// What is known of a provider's only model.
    pub(crate) fn figures(&self, provider: &str) -> Option<ModelFigures> {
        let router = self.roster.router();
        let all = router.figures(router.now(), shared::clock::now());
        all.into_iter().find(|one| one.provider == provider)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.soft.cancel();
        soon("the worker's end", self.task).await.unwrap();
    }
}

/// A place and its one worker.
pub(crate) struct Stage {
    pub(crate) place: Place,
    pub(crate) working: Working,
}

/// A run and what became of it.
pub(crate) struct Told {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) result: StoredResult,
    pub(crate) calls: Vec<AccountedCall>,
}

impl Stage {
    pub(crate) async fn open(file: &File) -> Self {
        Self::with(Setup::new(file)).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let place = Place::open().await;
        let working = Working::start(&place.ledger, &place.dispatch, &place.feed, setup);
        Self { place, working }
    }

    /// Submits a run of model `m`.
    pub(crate) async fn submit(&self, on_interruption: Interruption, params: Value) -> RunId {
        submit(&self.place.ledger, &self.place.dispatch, on_interruption, params).await
    }

    /// Reads a run from its beginning.
    pub(crate) async fn watch(&self, run: RunId) -> Watcher {
        let watch = Watch::new(self.place.ledger.log.clone(), self.place.feed.subscribe.clone());
        watch.open(run, Cursor::START).await.unwrap()
    }

    /// Reads a run to its end.
    pub(crate) async fn told(&self, run: RunId) -> Told {
        let mut watcher = self.watch(run).await;
        let mut entries = Vec::new();
        while let Some(entry) = soon("the run's next entry", watcher.next()).await {
            entries.push(entry);
        }
        let reader = &self.place.ledger.reader;
        Told {
            entries,
            result: reader.result(run).await.unwrap().expect("a result"),
            calls: reader.calls(run).await.unwrap(),
        }
    }

    /// Submits a run that may begin again, and reads it to its end.
    pub(crate) async fn play(&self) -> Told {
        let run = self.submit(Interruption::Restart, json!({})).await;
        self.told(run).await
    }

    /// Stops the worker and leaves the ledger.
    pub(crate) async fn close_keeping_runs(self) -> Place {
        self.working.stop().await;
        self.place
    }

    pub(crate) async fn close(self) {
        self.working.stop().await;
    }
}

pub(crate) async fn submit(
    ledger: &Ledger,
    dispatch: &Dispatch,
    on_interruption: Interruption,
    params: Value,
) -> RunId {
    let spec = json!({"model": "m", "messages": [{"role": "user", "content": PROMPT}], "params": params});
    let run = NewRun {
        id: RunId::new(),
        kind: Kind::Chat,
        tenant: TenantId::local(),
        user: None,
        class: Class::Standard,
        priority: Priority::default(),
        task_type: "chat".to_owned(),
        model: "m".to_owned(),
        on_interruption,
        deadline: None,
        idempotency: None,
        estimate: Estimate {
            input_tokens: 12,
            output_tokens: 64,
            cost_usd: None,
        },
        spec: spec.to_string(),
        metadata: None,
        trace_parent: None,
        simulated: false,
    };
    let hint = Hint {
        run: run.id,
        epoch: 0,
        tenant: run.tenant.clone(),
        class: run.class,
        delay: Duration::ZERO,
    };
    ledger.submit.accept(std::slice::from_ref(&run)).await.unwrap();
    dispatch.offer.offer(&[hint]).await;
    run.id
}

impl Told {
    /// The types of events in order; how an answer is cut into pieces is the journal's business.
    pub(crate) fn story(&self) -> Vec<&'static str> {
        let mut story: Vec<&str> = self.entries.iter().map(|entry| entry.kind.as_str()).collect();
        story.dedup_by(|after, before| after == before && *after == "output.delta");
        story
    }

    pub(crate) fn events(&self, kind: EventType) -> Vec<Event> {
        let of_kind = self.entries.iter().filter(|entry| entry.kind == kind);
        of_kind.map(|entry| entry.event().unwrap()).collect()
    }

    /// What a reader of the log has at its end.
    pub(crate) fn text(&self) -> String {
        self.transcript(&self.entries).answer().text
    }

    pub(crate) fn transcript(&self, entries: &[LogEntry]) -> Transcript {
        let mut transcript = Transcript::default();
        entries.iter().for_each(|entry| transcript.apply(entry).unwrap());
        transcript
    }

    /// The providers that were called, in order.
    pub(crate) fn routes(&self) -> Vec<String> {
        let routes = self.events(EventType::RouteSelected).into_iter();
        routes
            .map(|event| match event {
                Event::RouteSelected(route) => route.provider,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

/// A catalog file on a disk, looked at when told.
pub(crate) fn on_disk(folder: &TempDir, file: &File) -> (PathBuf, CatalogHandle, CatalogReloader) {
    let path = folder.path().join("catalog.toml");
    std::fs::write(&path, &file.0).unwrap();
    let (handle, reloader) = CatalogReloader::open(Catalog::default(), path.clone()).unwrap();
    (path, handle, reloader)
}
