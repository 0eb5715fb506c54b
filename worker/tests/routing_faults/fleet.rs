//! What one worker learns, the others know: through the ledger, on both databases.

use std::io::Write as _;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;
use shared::config::PostgresConfig;
use shared::dispatch::LedgerDispatch;
use shared::domain::{BreakerState, Cursor, Interruption, RunId};
use shared::feed::Feed;
use shared::ledger::Ledger;
use shared::watch::Watch;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::stage::{File, Place, Setup, Working, simulator, soon, submit};

async fn the_other_knows(ledger: &Ledger) {
    let (bad, good) = (simulator().await, simulator().await);
    let file = File::default()
        .provider("bad", &bad.base_url())
        .provider("good", &good.base_url())
        .model("bad", "sim-fast:fault=500", "first")
        .model("good", "sim-fast:tokens=4", "second")
        .chain();
    let feed = Feed::local();
    let dispatch = LedgerDispatch::dispatch(ledger.backlog.clone());
    let one = Working::start(ledger, &dispatch, &feed, Setup::new(&file));
    // It looks on: it may hold no run.
    let mut idle = Setup::new(&file);
    idle.worker.tenant_limit = Some(0);
    let other = Working::start(
        ledger,
        &LedgerDispatch::dispatch(ledger.backlog.clone()),
        &feed,
        idle,
    );
    let watch = Watch::new(ledger.log.clone(), feed.subscribe.clone());
    for _ in 0..5 {
        let run: RunId = submit(ledger, &dispatch, Interruption::Restart, json!({})).await;
        let mut watcher = watch.open(run, Cursor::START).await.unwrap();
        soon("the run's end", async { while watcher.next().await.is_some() {} }).await;
    }
    let learned = Instant::now();
    let state = |working: &Working| working.figures("bad").map(|figures| figures.breaker);
    assert_eq!(state(&one), Some(BreakerState::Open));
    soon("the news", async {
        while state(&other) != Some(BreakerState::Open) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let took = learned.elapsed();
    let mut out = std::io::stderr();
    writeln!(out, "the other worker knew after {took:?}").unwrap();
    assert_eq!(
        other.figures("bad").map(|figures| figures.calls),
        Some(0),
        "by hearsay alone"
    );
    // And people can see it.
    soon("both reports", async {
        loop {
            let reports = ledger.reader.reports().await.unwrap();
            let open = reports.iter().filter(|report| {
                let mut models = report.report.models.iter();
                models.any(|model| model.provider == "bad" && model.breaker != BreakerState::Closed)
            });
            if open.count() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_learns_the_other_knows_on_sqlite() {
    let place = Place::open().await;
    the_other_knows(&place.ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_learns_the_other_knows_on_postgres() {
    let Ok(url) = std::env::var("TEST_DATABASE_URL") else {
        panic!(
            "TEST_DATABASE_URL is not set: run ./scripts/test, which starts a private Postgres for the tests"
        )
    };
    let name = format!("mcp_routing_{}", RunId::new().uuid().simple());
    on_server(&url, &format!("CREATE DATABASE {name}")).await;
    let mut own = url::Url::parse(&url).unwrap();
    own.set_path(&name);
    let config = PostgresConfig::new(SecretString::from(own.as_str().to_owned()));
    let ledger = Ledger::open_postgres(&config).await.unwrap();
    migrations::migrate(ledger.connection()).await.unwrap();
    the_other_knows(&ledger).await;
    ledger.connection().clone().close().await.unwrap();
    on_server(&url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

async fn on_server(url: &str, statement: &str) {
    let mut server = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut server)
        .await
        .unwrap();
    server.close().await.unwrap();
}
