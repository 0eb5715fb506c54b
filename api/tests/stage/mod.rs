//! A ledger with runs on it and a hand to move them: what a worker would write, written by the test itself through
//! the ledger's own interface. Also used by the tests inside the crate.

use std::time::Duration;

use shared::catalog::{Catalog, CatalogHandle};
use shared::config::ProviderConfig;
use shared::domain::{
    Answer, Class, Cursor, Estimate, Event, Interruption, Kind, LogEntry, OutputDelta, Price, Priority,
    RunId, RunSucceeded, Status, TenantId, WorkerId,
};
use shared::feed::{Commit, Feed};
use shared::ledger::{AcceptOutcome, Ledger, NewRun, NewWorker, RunResult, Then, Write, WriteOutcome};
use tempfile::TempDir;

/// Longer than any test.
const LEASE: Duration = Duration::from_secs(3_600);

/// The catalog with one server of this name beside the known ones; it takes any model.
pub(crate) fn catalog(name: &str, price: Option<Price>, simulated: bool) -> CatalogHandle {
    let server = ProviderConfig {
        name: name.to_owned(),
        price,
        simulated,
        ..ProviderConfig::simulator("http://127.0.0.1:9/v1".to_owned())
    };
    CatalogHandle::fixed(Catalog::built_in().with_configured(&server))
}

/// A ledger of its own, in a folder that goes with it.
pub(crate) struct Stage {
    pub(crate) ledger: Ledger,
    pub(crate) feed: Feed,
    worker: WorkerId,
    _folder: TempDir,
}

impl Stage {
    /// An empty ledger and one live worker.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open_sqlite(&folder.path().join("ledger.sqlite"))
            .await
            .unwrap();
        migrations::migrate(ledger.connection()).await.unwrap();
        let worker = WorkerId::new();
        let introduction = NewWorker {
            id: worker,
            name: "stage".to_owned(),
            slots: 10,
        };
        ledger.execute.register(&introduction, LEASE).await.unwrap();
        Self {
            ledger,
            feed: Feed::local(),
            worker,
            _folder: folder,
        }
    }

    /// A queued run of this tenant.
    pub(crate) async fn accept(&self, tenant: &str) -> RunId {
        let run = NewRun {
            id: RunId::new(),
            kind: Kind::Chat,
            tenant: tenant.parse::<TenantId>().unwrap(),
            user: None,
            class: Class::Standard,
            priority: Priority::default(),
            task_type: "chat".to_owned(),
            model: "auto".to_owned(),
            on_interruption: Interruption::Restart,
            deadline: None,
            idempotency: None,
            estimate: Estimate {
                input_tokens: 1,
                output_tokens: 1,
                cost_usd: None,
            },
            spec: r#"{"model":"auto","messages":[{"role":"user","content":"Hello"}]}"#.to_owned(),
            metadata: None,
            trace_parent: None,
            simulated: false,
        };
        let outcomes = self
            .ledger
            .submit
            .accept(std::slice::from_ref(&run))
            .await
            .unwrap();
        assert!(
            matches!(outcomes[..], [AcceptOutcome::Accepted { .. }]),
            "{outcomes:?}"
        );
        run.id
    }

    /// The worker claims a queued run.
    pub(crate) async fn start(&self, run: RunId) -> Attempt<'_> {
        let mut claimed = self
            .ledger
            .execute
            .claim(self.worker, &[run], None)
            .await
            .unwrap();
        let claimed = claimed.pop().unwrap();
        let attempt = Attempt {
            stage: self,
            run,
            last: claimed.started.cursor,
        };
        attempt.publish(vec![claimed.started]).await;
        attempt
    }
}

/// A run the stage's worker holds.
pub(crate) struct Attempt<'a> {
    stage: &'a Stage,
    run: RunId,
    last: Cursor,
}

impl Attempt<'_> {
    /// Pieces of the answer, committed together, then published.
    pub(crate) async fn say(&mut self, pieces: &[&str]) {
        let events = pieces
            .iter()
            .map(|text| Event::OutputDelta(OutputDelta::text(*text)));
        self.append(events.collect(), Then::Continue).await;
    }

    /// The end of the answer and of the run.
    pub(crate) async fn succeed(mut self, text: &str) {
        let answer = Answer {
            text: text.to_owned(),
            ..Answer::default()
        };
        let result = RunResult {
            answer: Some(serde_json::to_string(&answer).unwrap()),
            finish_reason: Some("stop".to_owned()),
            ..RunResult::without_answer(Status::Succeeded, None)
        };
        let end = Event::RunSucceeded(RunSucceeded {
            finish_reason: "stop".to_owned(),
            provider_metadata: serde_json::Map::new(),
        });
        self.append(vec![end], Then::Settle(Box::new(result))).await;
    }

    async fn append(&mut self, events: Vec<Event>, then: Then) {
        let at = shared::clock::now();
        let mut entries = Vec::new();
        for event in events {
            self.last.seq += 1;
            entries.push(LogEntry {
                cursor: self.last,
                kind: event.kind(),
                at,
                data: event.to_data(false),
            });
        }
        let write = Write {
            run: self.run,
            epoch: self.last.epoch,
            entries: entries.clone(),
            usage: Vec::new(),
            then,
        };
        let outcomes = self
            .stage
            .ledger
            .execute
            .append(self.stage.worker, &[write])
            .await
            .unwrap();
        assert_eq!(outcomes, [WriteOutcome::Committed]);
        self.publish(entries).await;
    }

    async fn publish(&self, entries: Vec<LogEntry>) {
        self.stage
            .feed
            .publish
            .publish(vec![Commit {
                run: self.run,
                entries: entries.into(),
            }])
            .await;
    }
}
