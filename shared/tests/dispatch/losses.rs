//! Redis loses hints, or all of them, or refuses them, or is gone: nothing queued is lost.

use std::collections::HashSet;

use shared::dispatch::{Completeness, Hint};
use shared::domain::{Class, RunId};
use shared::ledger::NewRun;

use crate::fixture::{Fixture, new_run};
use crate::redis_server::Line;
use crate::stage::{Process, Stage};

crate::contract!(redis:
    a_flushed_redis_is_filled_again,
    a_flush_during_a_rebuild_does_not_count_as_complete,
    the_ledger_is_read_while_hints_are_incomplete,
    scripts_that_the_server_forgot_are_loaded_again,
    runs_that_the_ledger_proposed_leave_no_hints,
);

fn ids(hints: &[Hint]) -> Vec<RunId> {
    hints.iter().map(|hint| hint.run).collect()
}

/// Claims until this many were granted; which.
async fn claim_all(process: &mut Process<'_>, count: usize) -> HashSet<RunId> {
    let mut claimed = HashSet::new();
    while claimed.len() < count {
        let hints = process.propose(64).await;
        claimed.extend(ids(&process.claim(&hints).await));
        if hints.is_empty() {
            process.dispatch.propose.ready().await;
        }
    }
    claimed
}

async fn a_flushed_redis_is_filled_again(s: &Stage<'_>) {
    let mut runs = Vec::new();
    for n in 0..2_500 {
        runs.push(NewRun {
            class: Class::ALL[n % 3],
            ..new_run(&format!("t{}", n % 11))
        });
    }
    let accepted: HashSet<RunId> = s.submit(&runs).await.into_iter().collect();
    s.line().clear().await;
    let rebuild = s.dispatch().rebuild.unwrap();
    assert_eq!(rebuild.completeness().await.unwrap(), Completeness::Incomplete);
    let id = rebuild.begin().await.unwrap();
    let mut last = None;
    loop {
        let page = s.backlog.page(last.as_ref(), 1_000).await.unwrap();
        let Some(run) = page.last() else { break };
        last = Some(run.clone());
        let hints: Vec<Hint> = page.into_iter().map(Hint::from).collect();
        rebuild.restore(&hints).await.unwrap();
        // What is known stays where it is.
        rebuild.restore(&hints).await.unwrap();
    }
    assert_eq!(rebuild.completeness().await.unwrap(), Completeness::Incomplete);
    assert!(rebuild.complete(&id).await.unwrap());
    assert_eq!(rebuild.completeness().await.unwrap(), Completeness::Complete);
    let mut kept = 0;
    for class in 0..3 {
        for tenant in 0..11 {
            kept += s
                .redis_says::<usize>("ZCARD", &format!("queue:{class}:t{tenant}"), &[])
                .await;
        }
    }
    assert_eq!(kept, runs.len());
    let mut process = s.process(5_000).await;
    assert_eq!(claim_all(&mut process, runs.len()).await, accepted);
}

async fn a_flush_during_a_rebuild_does_not_count_as_complete(s: &Stage<'_>) {
    let rebuild = s.dispatch().rebuild.unwrap();
    s.line().clear().await;
    let flushed = rebuild.begin().await.unwrap();
    s.line().clear().await;
    assert!(!rebuild.complete(&flushed).await.unwrap());
    let overtaken = rebuild.begin().await.unwrap();
    let second = s.dispatch().rebuild.unwrap().begin().await.unwrap();
    assert!(!rebuild.complete(&overtaken).await.unwrap());
    assert_eq!(rebuild.completeness().await.unwrap(), Completeness::Incomplete);
    assert!(rebuild.complete(&second).await.unwrap());
    assert_eq!(rebuild.completeness().await.unwrap(), Completeness::Complete);
}

async fn the_ledger_is_read_while_hints_are_incomplete(s: &Stage<'_>) {
    let old = s.submit(&[new_run("acme")]).await;
    s.line().clear().await;
    let new = s.submit(&[new_run("beta")]).await;
    let mut process = s.process(8).await;
    let hints = process.propose(8).await;
    assert_eq!(
        ids(&hints).into_iter().collect::<HashSet<_>>(),
        [old, new].concat().into_iter().collect()
    );
    assert_eq!(process.claim(&hints).await.len(), 2);
    let rebuild = s.dispatch().rebuild.unwrap();
    let id = rebuild.begin().await.unwrap();
    assert!(rebuild.complete(&id).await.unwrap());
}

async fn scripts_that_the_server_forgot_are_loaded_again(s: &Stage<'_>) {
    let mut process = s.process(64).await;
    for _ in 0..3 {
        let run = s.submit(&[new_run("acme")]).await;
        s.link()
            .query::<()>(redis::cmd("SCRIPT").arg("FLUSH"))
            .await
            .unwrap();
        let hints = process.propose(8).await;
        assert_eq!(ids(&hints), run);
        assert_eq!(process.claim(&hints).await, hints);
    }
}

async fn runs_that_the_ledger_proposed_leave_no_hints(s: &Stage<'_>) {
    let runs = s.submit(&[new_run("acme"), new_run("beta")]).await;
    let worker = s.worker().await;
    for run in runs {
        s.claim(worker, run).await;
    }
    let mut process = s.process(8).await;
    let stale = process.propose(8).await;
    assert_eq!(stale.len(), 2);
    assert_eq!(process.claim(&stale).await, []);
    // The next proposal says it.
    assert_eq!(process.propose(8).await, []);
    let keys = s.line().keys().await;
    assert!(
        !keys
            .iter()
            .any(|key| key.starts_with("queue:") || key == "offered"),
        "{keys:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_without_memory_refuses_hints_and_the_ledger_is_read() {
    let test = async |s: &Stage<'_>| {
        let limit = async |bytes: &str| {
            let mut set = redis::cmd("CONFIG");
            set.arg("SET").arg("maxmemory").arg(bytes);
            s.link().query::<()>(&set).await.unwrap();
        };
        let known = s.submit(&[new_run("acme"), new_run("acme")]).await;
        limit("1").await;
        // What is known is proposed and concluded as ever.
        let mut process = s.process(8).await;
        let hints = process.propose(2).await;
        assert_eq!(ids(&hints), known);
        assert_eq!(process.claim(&hints).await, hints);
        assert_eq!(s.redis_says::<usize>("ZCARD", "offered", &[]).await, 0);
        // What is offered is refused. Whoever finds nothing is told, each time.
        for _ in 0..3 {
            assert_eq!(process.propose(1).await, []);
            let refused = s.submit(&[new_run("beta")]).await;
            assert_eq!(s.redis_says::<usize>("ZCARD", "queue:1:beta", &[]).await, 0);
            assert_eq!(s.redis_says::<usize>("EXISTS", "lost", &[]).await, 1);
            let hints = process.propose(1).await;
            assert_eq!(ids(&hints), refused);
            assert_eq!(process.claim(&hints).await, hints);
        }
        limit("0").await;
        let known = s.submit(&[new_run("zeta")]).await;
        assert_eq!(s.redis_says::<usize>("ZCARD", "queue:1:zeta", &[]).await, 1);
        let hints = process.propose(8).await;
        assert_eq!(ids(&hints), known);
        assert_eq!(process.claim(&hints).await, hints);
    };
    on_a_server_of_its_own(test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_redis_everything_goes_on() {
    let test = async |s: &Stage<'_>| {
        let before = s.submit(&[new_run("acme"), new_run("beta")]).await;
        let mut process = s.process(8).await;
        let hints = process.propose(1).await;
        assert_eq!(process.claim(&hints).await, hints);
        let one = process.propose(1).await;
        s.line().kill_server();
        // Neither the end of a proposal nor an offer minds.
        assert_eq!(process.claim(&one).await, one);
        process.finish_all().await;
        let after: HashSet<RunId> = s
            .submit(&[new_run("acme"), new_run("zeta")])
            .await
            .into_iter()
            .collect();
        assert_eq!(claim_all(&mut process, after.len()).await, after);
        assert_eq!(before.len(), 2);
        s.api().offer.cancel_requested(before[0]).await;
    };
    on_a_server_of_its_own(test).await;
}

async fn on_a_server_of_its_own(test: impl AsyncFnOnce(&Stage<'_>)) {
    Fixture::postgres()
        .await
        .run(async |fixture| {
            let line = Line::private(&["maxmemory-policy noeviction"]).await;
            Stage::on(fixture, line, test).await;
        })
        .await;
}
