//! What a proposal, the end of a run and a look at the newest calls cost on Postgres: rows and pages are counted, on a
//! queue that is long enough to tell, with the statistics of a new table as well as with good ones. Time is not looked at.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt as _;
use sea_orm::sea_query::PostgresQueryBuilder;
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use uuid::Uuid;

use super::super::{accounting, reader};
use super::{NO_TABLE_READ, PLANNED_ONCE, Postgres, append, backlog, execute as executing};
use crate::config::PostgresConfig;
use crate::domain::TenantId;

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
    execute(
        connection,
        &format!("SET {} = {}", PLANNED_ONCE.0, PLANNED_ONCE.1),
    )
    .await;
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

/// The worker of the runs below.
const WORKER: &str = "01010101-0101-7101-8101-010101010101";

/// The types of an append's parameters.
const APPEND: &str = "uuid, uuid[], uuid[], int[], int[], text[], bigint[], text[], uuid[], int[], text[], bigint[], int[], \
    bigint[], uuid[], text[], text[], text[], text[], text[], text[], bigint[], text[], text[], bool[], \
    uuid[], int[], int[], text[], text[], int[], text[], text[], bigint[], bigint[], bigint[], bigint[], bigint[], \
    bigint[], text[], bool[], bigint[], bigint[], text[], bigint[]";

/// Has statements planned as those of the busy paths are.
async fn as_in_a_lane(connection: &mut PgConnection) {
    for (setting, value) in [PLANNED_ONCE, NO_TABLE_READ] {
        execute(connection, &format!("SET {setting} = {value}")).await;
    }
}

/// The executed plan of a claim of one run.
async fn claim(connection: &mut PgConnection, run: Uuid) -> Vec<String> {
    let statement = executing::CLAIM;
    as_in_a_lane(connection).await;
    execute(
        connection,
        &format!("PREPARE claim(uuid[], uuid, bigint, text, text) AS {statement}"),
    )
    .await;
    let explain = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)";
    let call = format!("{explain} EXECUTE claim('{{{run}}}', '{WORKER}', NULL, '{WORKER}', '0-1')");
    let rows = execute(connection, &call).await;
    execute(connection, "DEALLOCATE claim").await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// The executed plan of the end of one run, with one call to account.
async fn end(connection: &mut PgConnection, run: Uuid) -> Vec<String> {
    let statement = append::APPEND_CLOSE_AND_ACCOUNT;
    as_in_a_lane(connection).await;
    execute(connection, &format!("PREPARE append({APPEND}) AS {statement}")).await;
    let explain = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)";
    let call = format!(
        "{explain} EXECUTE append('{WORKER}', '{{{run}}}', '{{{run}}}', '{{1}}', '{{2}}', '{{run.succeeded}}', '{{1}}', \
         ARRAY['{{}}'], '{{{run}}}', '{{1}}', '{{succeeded}}', '{{NULL}}', '{{0}}', \
         '{{NULL}}', '{{{run}}}', '{{succeeded}}', ARRAY['{{}}'], '{{stop}}', '{{p}}', '{{m}}', '{{NULL}}', '{{5}}', '{{NULL}}', \
         '{{NULL}}', '{{NULL}}', \
         '{{{run}}}', '{{1}}', '{{1}}', '{{p}}', '{{m}}', '{{0}}', '{{succeeded}}', '{{NULL}}', '{{1}}', '{{1}}', \
         '{{NULL}}', '{{NULL}}', '{{NULL}}', '{{5}}', '{{NULL}}', '{{false}}', '{{1}}', '{{1}}', '{{NULL}}', '{{1}}')"
    );
    let rows = execute(connection, &call).await;
    execute(connection, "DEALLOCATE append").await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// That a plan looks rows up and touches few pages.
fn assert_looks_up(plan: &[String]) {
    let text = plan.join("\n");
    // The table of workers is one page; the others grow.
    for table in ["mcp_request", "mcp_event", "mcp_usage", "mcp_result"] {
        assert!(!text.contains(&format!("Seq Scan on {table}")), "{text}");
    }
    // A step counts for those below it, and not for the writing ones beside it: the sum is more than it touches, and still
    // far less than the queue has.
    let buffers = plan.iter().filter(|line| line.contains("Buffers: "));
    let pages: f64 = buffers
        .map(|line| number(line, " hit=") + number(line, " read="))
        .sum();
    assert!(pages > 0.0 && pages <= 500.0, "{pages} pages\n{text}");
}

#[tokio::test]
async fn the_way_of_a_run_costs_the_same_whatever_the_queue() {
    with_schema(async |connection| {
        execute(
            connection,
            "ALTER TABLE mcp_request SET (autovacuum_enabled = false)",
        )
        .await;
        let worker = format!(
            "INSERT INTO mcp_worker (id, name, status, slots, started_at, lease_until) \
             VALUES ('{WORKER}', 'w', 'alive', 1, 1, mcp_now() + 3600000)"
        );
        execute(connection, &worker).await;
        let few = CROWD.replace("100000", "100");
        let all_end = "UPDATE mcp_request SET status = 'succeeded', finished_at = 1 WHERE status = 'queued'";
        // Statistics of a young table, of this one, and of one whose queue was empty: a plan made then would be kept while
        // the table or the queue grows.
        for before in [
            &[few.as_str(), "ANALYZE", CROWD][..],
            &["ANALYZE"],
            &[all_end, "VACUUM ANALYZE mcp_request", CROWD],
        ] {
            for statement in before {
                execute(connection, statement).await;
            }
            let next =
                "SELECT id FROM mcp_request WHERE status = 'queued' AND not_before <= mcp_now() LIMIT 1";
            let run: Uuid = execute(connection, next).await[0].get(0);
            assert_looks_up(&claim(connection, run).await);
            let holder = format!(
                "SELECT count(*) FROM mcp_request WHERE worker_id = '{WORKER}' AND status = 'running'"
            );
            assert_eq!(execute(connection, &holder).await[0].get::<i64, _>(0), 1);
            assert_looks_up(&end(connection, run).await);
            assert_eq!(execute(connection, &holder).await[0].get::<i64, _>(0), 0);
            let accounted = execute(connection, "SELECT count(*) FROM mcp_usage").await;
            assert!(accounted[0].get::<i64, _>(0) > 0);
        }
    })
    .await;
}

#[tokio::test]
async fn counting_the_queue_reads_the_queue_and_not_what_has_ended() {
    with_schema(async |connection| {
        execute(connection, CROWD).await;
        let ended = "UPDATE mcp_request SET status = 'succeeded', finished_at = 1 WHERE created_at > 10";
        execute(connection, ended).await;
        execute(connection, "VACUUM ANALYZE mcp_request").await;
        let planned_once = format!("SET {} = {}", PLANNED_ONCE.0, PLANNED_ONCE.1);
        execute(connection, &planned_once).await;
        let crowd: TenantId = "crowd".parse().unwrap();
        for (tenant, arguments) in [
            (None, "(1, 1000)"),
            (
                Some(&crowd),
                "(1, 'interactive', 'standard', 'batch', 'crowd', 1000)",
            ),
        ] {
            let (sql, _) = reader::counting(tenant, 1_000).build(PostgresQueryBuilder);
            execute(connection, &format!("PREPARE counting AS {sql}")).await;
            let explain =
                format!("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE counting{arguments}");
            let plan = execute(connection, &explain).await;
            let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            assert!(plan.contains("mcp_request_ready"), "{plan}");
            execute(connection, "DEALLOCATE counting").await;
        }
    })
    .await;
}

/// A call of each run, in the order of time, and as many that nobody remembers: ids begin with a moment.
const CALLS: &str = "
WITH run AS (
    INSERT INTO mcp_request (id, kind, tenant, class, priority, task_type, model, on_interruption, status, epoch, not_before,
        estimated_input_tokens, estimated_output_tokens, simulated, created_at, finished_at)
    SELECT (lpad(to_hex(place), 12, '0') || '70008000000000000000')::uuid, 'chat', 'crowd', 'standard', 50,
        't' || place % 3, 'auto', 'restart', 'succeeded', 1, place, 1, 1, false, place, place
    FROM generate_series(1, 100000) AS place RETURNING id
)
INSERT INTO mcp_usage (run_id, epoch, call, tenant, simulated, provider, model, outcome, output_tokens, cost_unknown,
    estimated, duration_ms, started_at)
SELECT id, 1, call, 'crowd', false, 'p', 'm', 'succeeded', 100, 'no_price', false, 1, 1
FROM run CROSS JOIN generate_series(1, 2) AS call";

#[tokio::test]
async fn a_look_at_the_newest_calls_costs_the_same_however_many_there_are() {
    with_schema(async |connection| {
        for table in ["mcp_request", "mcp_usage"] {
            let alone = format!("ALTER TABLE {table} SET (autovacuum_enabled = false)");
            execute(connection, &alone).await;
        }
        execute(connection, CALLS).await;
        for _statistics in ["of an empty table", "of this one"] {
            let explain = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)";
            let rows = execute(connection, &format!("{explain} {}", accounting::ANSWER_LENGTHS)).await;
            let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let plan_text = plan.join("\n");
            assert!(!plan_text.contains("Seq Scan"), "{plan_text}");
            let looks = plan.iter().filter(|line| line.contains(" using mcp_"));
            let rows: f64 = looks
                .map(|look| number(look, "actual rows=") * number(look, " loops="))
                .sum();
            assert!(rows > 0.0 && rows <= 4_000.0, "{rows} rows\n{plan_text}");
            execute(connection, "ANALYZE").await;
        }
    })
    .await;
}
