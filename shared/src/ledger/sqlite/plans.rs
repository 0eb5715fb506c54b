//! How SQLite means to execute the hot statements: none of them may read a whole table or sort a whole queue, however
//! young the statistics are. A plan is the only place where that shows before the table is large.

use rusqlite::params_from_iter;
use rusqlite::types::Null;

use super::super::accounting;
use super::{Sqlite, backlog, decode, execute, log, rows, submit, upkeep, usage};

/// The steps of a statement's plan, each with the step it belongs to.
async fn plan(sql: &str) -> Vec<(i64, i64, String)> {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Sqlite::open(&folder.path().join("ledger.sqlite")).await.unwrap();
    let connection = sea_orm::SqlxSqliteConnector::from_sqlx_sqlite_pool(ledger.migrating().clone());
    migrations::migrate(&connection).await.unwrap();
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let steps = ledger.readers.run(move |connection| {
        let plan = &mut connection.prepare_cached(&explain)?;
        let nulls = vec![Null; plan.parameter_count()];
        decode::all(plan, params_from_iter(nulls), |row| {
            Ok((row.get("id")?, row.get("parent")?, row.get("detail")?))
        })
    });
    steps.await.unwrap()
}

#[tokio::test]
async fn hot_statements_go_by_an_index() {
    // The tables, and the names our statements give them.
    let tables = ["mcp_request", "mcp_event", "mcp_result", "r", "q", "h", "e", "x"];
    for sql in [
        backlog::TENANTS,
        backlog::RUNS,
        backlog::QUEUED,
        backlog::PAGE,
        execute::CANCEL_REQUESTS,
        execute::CLAIM,
        execute::HAS_ENTRY,
        execute::HELD,
        execute::INCARNATION,
        execute::IS_HELD,
        log::TAIL,
        rows::CHANGE,
        submit::CANCEL,
        submit::SAME_ID,
        submit::SAME_KEY,
        upkeep::FORGET,
        upkeep::LOST,
        upkeep::OVERDUE,
        upkeep::STRANDED,
        usage::INSERT,
    ] {
        let plan = plan(sql).await;
        assert!(
            plan.iter().any(|(_, _, detail)| detail.starts_with("SEARCH")),
            "{plan:#?}"
        );
        for (_, _, detail) in &plan {
            let scanned = detail
                .strip_prefix("SCAN ")
                .and_then(|rest| rest.split(' ').next());
            assert!(
                !scanned.is_some_and(|name| tables.contains(&name)),
                "{detail}\n{plan:#?}"
            );
        }
    }
}

#[tokio::test]
async fn a_proposal_sorts_what_it_proposes_and_not_the_queue() {
    for sql in [backlog::TENANTS, backlog::RUNS, backlog::PAGE] {
        let plan = plan(sql).await;
        let queue = plan
            .iter()
            .filter(|(_, _, detail)| detail.contains("mcp_request_ready"));
        let walks: Vec<i64> = queue.map(|(_, parent, _)| *parent).collect();
        assert!(!walks.is_empty(), "{plan:#?}");
        for (_, parent, detail) in &plan {
            assert!(
                !(detail.contains("TEMP B-TREE") && walks.contains(parent)),
                "{detail}\n{plan:#?}"
            );
        }
    }
}

#[tokio::test]
async fn the_newest_calls_are_found_without_sorting_them_all() {
    let plan = plan(accounting::ANSWER_LENGTHS).await;
    // The walk is along the key the table is kept in; the order is for the runs, and the grouping of what was found.
    let walk = plan.iter().find(|(_, _, detail)| detail == "SCAN mcp_usage");
    let walk = walk.expect("the walk through the calls");
    let sorted =
        |(_, parent, detail): &(i64, i64, String)| *parent == walk.1 && detail.contains("FOR ORDER BY");
    assert!(!plan.iter().any(sorted), "{plan:#?}");
    assert!(
        plan.iter()
            .any(|(_, _, detail)| detail.starts_with("SEARCH run ")),
        "{plan:#?}"
    );
}

#[tokio::test]
async fn a_page_of_a_log_stops_at_its_limit() {
    let plan = plan(log::TAIL).await;
    let walk = plan
        .iter()
        .find(|(_, _, detail)| detail.starts_with("SEARCH x "))
        .expect("the walk through a log");
    assert!(walk.2.contains("(epoch,seq)>(?,?)"), "{plan:#?}");
    let sorted =
        |(_, parent, detail): &(i64, i64, String)| *parent == walk.1 && detail.contains("TEMP B-TREE");
    assert!(!plan.iter().any(sorted), "{plan:#?}");
}
