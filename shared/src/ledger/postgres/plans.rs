//! What a proposal costs on Postgres: rows and pages are counted, on a queue that is long enough to tell, with the
//! statistics of a new table as well as with good ones. Time is not looked at.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt as _;
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use uuid::Uuid;

use super::{Postgres, backlog};
use crate::config::PostgresConfig;

/// So many runs of one tenant, all ready.
const CROWD: &str = "
INSERT INTO mcp_request (id, kind, tenant, class, priority, task_type, model, on_interruption, status, epoch, not_before,
    estimated_input_tokens, estimated_output_tokens, simulated, created_at)
SELECT gen_random_uuid(), 'chat', 'crowd', 'standard', 50, 'chat', 'auto', 'restart', 'queued', 0, place, 1, 1, false, place
FROM generate_series(1, 100000) AS place";

/// Two delayed runs of each of so many tenants.
const DELAYED: &str = "
INSERT INTO mcp_request (id, kind, tenant, class, priority, task_type, model, on_interruption, status, epoch, not_before,
    estimated_input_tokens, estimated_output_tokens, simulated, created_at)
SELECT gen_random_uuid(), 'chat', 'd' || place % 100, 'standard', 50, 'chat', 'auto', 'restart', 'queued', 0,
    mcp_now() + 3600000, 1, 1, false, place
FROM generate_series(1, 200) AS place";

/// Runs a test on a connection to a database of its own, with the schema, and takes the database away whatever happened.
async fn with_schema(test: impl AsyncFnOnce(&mut PgConnection)) {
    let url = std::env::var("TEST_DATABASE_URL").expect(
        "TEST_DATABASE_URL is set: run ./scripts/test, which starts a private Postgres for the tests",
    );
    let name = format!("mcp_plans_{}", Uuid::now_v7().simple());
    let mut server = PgConnection::connect(&url).await.unwrap();
    execute(&mut server, &format!("CREATE DATABASE {name}")).await;
    let mut own = url::Url::parse(&url).unwrap();
    own.set_path(&name);
    let config = PostgresConfig::new(SecretString::from(own.as_str().to_owned()));
    let ledger = Postgres::connect(&config).await.unwrap();
    let pool = sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(ledger.pool().clone());
    migrations::migrate(&pool).await.unwrap();
    let mut connection = PgConnection::connect(own.as_str()).await.unwrap();
    let outcome = AssertUnwindSafe(test(&mut connection)).catch_unwind().await;
    pool.close().await.unwrap();
    execute(&mut server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Vec<PgRow> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await
        .unwrap()
}

/// The executed plan, as a pool's prepared statement has it: made once, for any arguments.
async fn proposal(connection: &mut PgConnection, after: &str, limit: u32, tenant_limit: &str) -> Vec<String> {
    let ready = backlog::READY;
    execute(connection, "SET plan_cache_mode = force_generic_plan").await;
    execute(
        connection,
        &format!("PREPARE ready(text, text, bigint, bigint) AS {ready}"),
    )
    .await;
    let explain = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)";
    let call = format!("{explain} EXECUTE ready('standard', '{after}', {limit}, {tenant_limit})");
    let rows = execute(connection, &call).await;
    execute(connection, "DEALLOCATE ready").await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// A number that stands after these words.
fn number(line: &str, words: &str) -> f64 {
    let Some((_, rest)) = line.split_once(words) else {
        return 0.0;
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    rest[..end].parse().unwrap()
}

/// No step reads the table but through an index on purpose, and all steps together touch no more than this.
fn is_cheap(plan: &[String], max_rows: f64, max_pages: f64) {
    let plan_text = plan.join("\n");
    let looks: Vec<&String> = plan
        .iter()
        .filter(|line| line.contains(" on mcp_request"))
        .collect();
    assert!(!looks.is_empty(), "{plan_text}");
    let mut rows = 0.0;
    for look in looks {
        let index = ["using mcp_request_ready ", "using mcp_request_running "];
        assert!(
            index.iter().any(|index| look.contains(index)),
            "{look}\n{plan_text}"
        );
        rows += number(look, "actual rows=") * number(look, " loops=");
    }
    assert!(rows > 0.0 && rows <= max_rows, "{rows} rows\n{plan_text}");
    // Of the first step, which counts for all below it.
    let pages = plan
        .iter()
        .find(|line| line.contains("Buffers: "))
        .expect("buffers");
    let pages = number(pages, " hit=") + number(pages, " read=");
    assert!(pages > 0.0 && pages <= max_pages, "{pages} pages\n{plan_text}");
}

#[tokio::test]
async fn a_proposal_costs_what_it_proposes_and_not_the_queue() {
    with_schema(async |connection| {
        // Statistics stay as they are until the test says otherwise.
        execute(
            connection,
            "ALTER TABLE mcp_request SET (autovacuum_enabled = false)",
        )
        .await;
        execute(connection, CROWD).await;
        execute(connection, DELAYED).await;
        for _statistics in ["of an empty table", "of this one"] {
            for tenant_limit in ["NULL", "50"] {
                for after in ["", "crowd", "d50"] {
                    // A hundred delayed tenants are passed by, and one gives its share.
                    let plan = proposal(connection, after, 64, tenant_limit).await;
                    is_cheap(&plan, 101.0 + 2.0 * 64.0 + 10.0, 1_500.0);
                }
            }
            let plan = proposal(connection, "", 1, "NULL").await;
            is_cheap(&plan, 10.0, 50.0);
            execute(connection, "ANALYZE").await;
        }
    })
    .await;
}
