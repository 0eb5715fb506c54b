//! A ledger of its own for each test, and short words for what tests do with it.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;
use sea_orm::{ConnectionTrait as _, DbErr, Statement};
use secrecy::SecretString;
use shared::config::PostgresConfig;
use shared::domain::{
    Class, Cursor, Estimate, Event, FailureCode, Interruption, Kind, LogEntry, OutputDelta, Priority,
    RequeueReason, RunFailed, RunId, RunRequeued, RunSucceeded, Status, TenantId, Timestamp, Usd, WorkerId,
};
use shared::ledger::{
    AcceptOutcome, Claimed, Failure, Idempotency, Ledger, NewRun, NewWorker, RunRecord, RunResult,
    StoredResult, Then, Write, WriteOutcome,
};
use sqlx::{AssertSqlSafe, Connection as _};

/// Long enough to be no matter in a test.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);
/// Over before the next statement, or soon after.
pub(crate) const SHORT: Duration = Duration::from_millis(1);

/// What holds in every ledger at any time: each counts its violations.
const INVARIANTS: [(&str, &str); 7] = [
    (
        "nothing follows a terminal event",
        "SELECT count(*) AS n FROM mcp_event AS last JOIN mcp_event AS later ON later.run_id = last.run_id \
         AND (later.epoch > last.epoch OR (later.epoch = last.epoch AND later.seq > last.seq)) \
         WHERE last.type IN ('run.succeeded', 'run.failed', 'run.cancelled')",
    ),
    (
        "seq is dense from 1 inside an epoch",
        "SELECT count(*) AS n FROM (SELECT run_id, epoch FROM mcp_event GROUP BY run_id, epoch \
         HAVING min(seq) <> 1 OR max(seq) <> count(*)) AS holes",
    ),
    (
        "a run has ended exactly when its log says so",
        "SELECT count(*) AS n FROM mcp_request AS run WHERE \
         (CASE WHEN run.finished_at IS NULL THEN 'open' ELSE 'run.' || run.status END) <> coalesce( \
         (SELECT type FROM mcp_event WHERE run_id = run.id \
          AND type IN ('run.succeeded', 'run.failed', 'run.cancelled')), 'open')",
    ),
    (
        "a run has a result exactly when it has ended, with the same status and moment",
        "SELECT count(*) AS n FROM mcp_request AS run LEFT JOIN mcp_result AS result ON result.run_id = run.id \
         WHERE (run.finished_at IS NULL) <> (result.run_id IS NULL) OR result.status <> run.status \
         OR result.finished_at <> run.finished_at",
    ),
    (
        "no entry is of an epoch that its run has not reached",
        "SELECT count(*) AS n FROM mcp_event AS event JOIN mcp_request AS run ON run.id = event.run_id \
         WHERE event.epoch > run.epoch",
    ),
    (
        "no call is accounted of an epoch that its run has not reached, or to anybody else",
        "SELECT count(*) AS n FROM mcp_usage AS call JOIN mcp_request AS run ON run.id = call.run_id \
         WHERE call.epoch > run.epoch OR call.tenant <> run.tenant OR call.simulated <> run.simulated",
    ),
    (
        "no dead worker holds a run",
        "SELECT count(*) AS n FROM mcp_request AS run JOIN mcp_worker AS worker ON worker.id = run.worker_id \
         WHERE worker.status = 'dead'",
    ),
];

/// A ledger with the schema applied, in a database of its own.
pub(crate) struct Fixture {
    ledger: Ledger,
    place: Place,
}

enum Place {
    /// The folder goes with the test.
    Folder(#[expect(dead_code, reason = "held for its Drop")] tempfile::TempDir),
    /// A database to drop, by name, and where.
    Server { url: String, name: String },
}

impl Deref for Fixture {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open_sqlite(&folder.path().join("ledger.sqlite"))
            .await
            .unwrap();
        migrations::migrate(ledger.connection()).await.unwrap();
        Self {
            ledger,
            place: Place::Folder(folder),
        }
    }

    pub(crate) async fn postgres() -> Self {
        let Ok(url) = std::env::var("TEST_DATABASE_URL") else {
            panic!(
                "TEST_DATABASE_URL is not set: run ./scripts/test, which starts a private Postgres for the tests"
            )
        };
        let name = format!("mcp_ledger_{}", RunId::new().uuid().simple());
        on_server(&url, &format!("CREATE DATABASE {name}")).await;
        let mut own = url::Url::parse(&url).unwrap();
        own.set_path(&name);
        let config = PostgresConfig::new(SecretString::from(own.as_str().to_owned()));
        let ledger = Ledger::open_postgres(&config).await.unwrap();
        migrations::migrate(ledger.connection()).await.unwrap();
        Self {
            ledger,
            place: Place::Server { url, name },
        }
    }

    /// Runs a test, checks the invariants, and takes the database away whatever happened.
    pub(crate) async fn run(self, test: impl AsyncFnOnce(&Self)) {
        let checked = async {
            test(&self).await;
            for (what, violations) in INVARIANTS {
                assert_eq!(self.count(violations).await, 0, "violated: {what}");
            }
        };
        let outcome = AssertUnwindSafe(checked).catch_unwind().await;
        let connection = self.ledger.connection().clone();
        connection.close().await.unwrap();
        if let Place::Server { url, name } = &self.place {
            on_server(url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    /// Executes a statement that both databases understand.
    pub(crate) async fn sql(&self, sql: &str) -> Result<(), DbErr> {
        self.ledger.connection().execute_unprepared(sql).await.map(|_| ())
    }

    /// The number `n` that a query returns.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let connection = self.ledger.connection();
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        connection
            .query_one_raw(statement)
            .await
            .unwrap()
            .unwrap()
            .try_get("", "n")
            .unwrap()
    }

    /// Accepts one run.
    pub(crate) async fn accept(&self, run: NewRun) -> RunId {
        let outcome = self.submit.accept(std::slice::from_ref(&run)).await.unwrap();
        assert!(
            matches!(*outcome, [AcceptOutcome::Accepted { .. }]),
            "{outcome:?}"
        );
        run.id
    }

    /// The deadline of every run that has one passes, however long it was.
    pub(crate) async fn let_deadlines_pass(&self) {
        self.sql("UPDATE mcp_request SET deadline_at = 1 WHERE deadline_at IS NOT NULL")
            .await
            .unwrap();
    }

    /// Accepts so many runs of a tenant, in one batch.
    pub(crate) async fn accept_many(&self, tenant_name: &str, count: usize) -> Vec<RunId> {
        let runs: Vec<NewRun> = (0..count).map(|_| new_run(tenant_name)).collect();
        let outcomes = self.submit.accept(&runs).await.unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, AcceptOutcome::Accepted { .. }))
        );
        runs.iter().map(|run| run.id).collect()
    }

    /// A worker with a long lease.
    pub(crate) async fn worker(&self) -> WorkerId {
        let worker = NewWorker {
            id: WorkerId::new(),
            name: "host:1".to_owned(),
            slots: 4,
        };
        self.execute.register(&worker, LONG).await.unwrap();
        worker.id
    }

    /// Claims one run, which must be claimable.
    pub(crate) async fn claim(&self, worker: WorkerId, run: RunId) -> Claimed {
        let claimed = self.execute.claim(worker, &[run], None).await.unwrap();
        let [claimed] = <[Claimed; 1]>::try_from(claimed).expect("the run is claimable");
        claimed
    }

    /// A worker that holds a fresh run.
    pub(crate) async fn holder(&self, run: NewRun) -> (WorkerId, Claimed) {
        let worker = self.worker().await;
        let run = self.accept(run).await;
        (worker, self.claim(worker, run).await)
    }

    /// Appends one write.
    pub(crate) async fn append(&self, worker: WorkerId, write: Write) -> WriteOutcome {
        let outcome = self.execute.append(worker, &[write]).await.unwrap();
        let [outcome] = outcome.as_slice() else {
            panic!("one write, one outcome: {outcome:?}")
        };
        outcome.clone()
    }

    /// The worker's lease ends; returns when the ledger says so.
    pub(crate) async fn let_lapse(&self, worker: WorkerId) {
        self.execute.renew(worker, SHORT, false).await.unwrap();
        until(async || self.upkeep.lapsed_workers().await.unwrap().contains(&worker)).await;
    }

    /// The whole log, page by page.
    pub(crate) async fn whole_log(&self, run: RunId) -> Vec<LogEntry> {
        let mut entries: Vec<LogEntry> = Vec::new();
        loop {
            let after = entries.last().map_or(Cursor::START, |entry| entry.cursor);
            let page = self.log.entries(run, after, 100).await.unwrap();
            if page.is_empty() {
                return entries;
            }
            entries.extend(page);
        }
    }

    /// The whole log as `cursor type` lines.
    pub(crate) async fn outline(&self, run: RunId) -> Vec<String> {
        self.whole_log(run)
            .await
            .iter()
            .map(|entry| format!("{} {}", entry.cursor, entry.kind))
            .collect()
    }

    /// The run as stored.
    pub(crate) async fn record(&self, run: RunId) -> RunRecord {
        self.reader.run(run).await.unwrap().expect("the run is known")
    }

    /// Its result as stored.
    pub(crate) async fn ended(&self, run: RunId) -> StoredResult {
        self.reader.result(run).await.unwrap().expect("the run has ended")
    }
}

async fn on_server(url: &str, sql: &str) {
    let mut connection = sqlx::PgConnection::connect(url)
        .await
        .expect("TEST_DATABASE_URL answers");
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Polls a condition that database time makes true.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let polling = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), polling)
        .await
        .expect("the condition never became true");
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// A run like any other.
pub(crate) fn new_run(tenant_name: &str) -> NewRun {
    NewRun {
        id: RunId::new(),
        kind: Kind::Chat,
        tenant: tenant(tenant_name),
        user: None,
        class: Class::Standard,
        priority: Priority::default(),
        task_type: "chat".to_owned(),
        model: "auto".to_owned(),
        on_interruption: Interruption::Restart,
        deadline: None,
        idempotency: None,
        estimate: Estimate {
            input_tokens: 12,
            output_tokens: 1_024,
            cost_usd: Some(Usd::from_nanos(1_500)),
        },
        spec: r#"{"model":"auto","messages":[]}"#.to_owned(),
        metadata: None,
        trace_parent: None,
        simulated: false,
    }
}

/// A run with an idempotency key.
pub(crate) fn keyed_run(tenant_name: &str, key: &str, body: &[u8]) -> NewRun {
    let idempotency = Some(Idempotency {
        key: key.to_owned(),
        body_hmac: body.to_vec(),
    });
    NewRun {
        idempotency,
        ..new_run(tenant_name)
    }
}

/// An entry that a worker would write.
pub(crate) fn entry(epoch: u32, seq: u32, event: &Event) -> LogEntry {
    LogEntry {
        cursor: Cursor::new(epoch, seq),
        kind: event.kind(),
        at: Timestamp::from_millis(1_700_000_000_007),
        data: event.to_data(false),
    }
}

pub(crate) fn delta(epoch: u32, seq: u32, text: &str) -> LogEntry {
    entry(epoch, seq, &Event::OutputDelta(OutputDelta::text(text)))
}

/// A piece of output: entry `seq` of the claim's epoch.
pub(crate) fn output(claimed: &Claimed, seq: u32, text: &str) -> Write {
    let entries = vec![delta(claimed.epoch, seq, text)];
    Write {
        run: claimed.id,
        epoch: claimed.epoch,
        entries,
        usage: Vec::new(),
        then: Then::Continue,
    }
}

/// The end with an answer: entry `seq` of the claim's epoch.
pub(crate) fn success(claimed: &Claimed, seq: u32) -> Write {
    let event = Event::RunSucceeded(RunSucceeded {
        finish_reason: "stop".to_owned(),
        provider_metadata: serde_json::Map::new(),
    });
    let result = RunResult {
        answer: Some(r#"{"text":"hi"}"#.to_owned()),
        finish_reason: Some("stop".to_owned()),
        provider: Some("openai".to_owned()),
        model: Some("gpt".to_owned()),
        usage: Some(r#"{"total_tokens":3}"#.to_owned()),
        cost: Some(Usd::from_nanos(17)),
        ..RunResult::without_answer(Status::Succeeded, None)
    };
    Write {
        run: claimed.id,
        epoch: claimed.epoch,
        entries: vec![entry(claimed.epoch, seq, &event)],
        usage: Vec::new(),
        then: Then::Settle(Box::new(result)),
    }
}

/// The end without one.
pub(crate) fn failed(claimed: &Claimed, seq: u32) -> Write {
    let (code, message, retryable) = (FailureCode::ProviderRejected, "no such model".to_owned(), false);
    let event = Event::RunFailed(RunFailed {
        code,
        message: message.clone(),
        retryable,
    });
    let result = RunResult::without_answer(
        Status::Failed,
        Some(Failure {
            code,
            message,
            retryable,
        }),
    );
    Write {
        run: claimed.id,
        epoch: claimed.epoch,
        entries: vec![entry(claimed.epoch, seq, &event)],
        usage: Vec::new(),
        then: Then::Settle(Box::new(result)),
    }
}

/// Back to the queue.
pub(crate) fn requeue(claimed: &Claimed, seq: u32, reason: RequeueReason, not_before: Timestamp) -> Write {
    let event = Event::RunRequeued(RunRequeued { reason, not_before });
    Write {
        run: claimed.id,
        epoch: claimed.epoch,
        entries: vec![entry(claimed.epoch, seq, &event)],
        usage: Vec::new(),
        then: Then::Requeue {
            reason,
            not_before,
            failed_calls: u32::from(reason == RequeueReason::ProviderFailed),
            waits_until: None,
        },
    }
}
