//! What the tail of a ledger adds: one question for all watched runs, asked while there are any, whatever happens to the
//! ledger.

use std::sync::Arc;

use shared::domain::{Cursor, RunId};
use shared::feed::{Subscription, TailFeed};
use shared::ledger::{Then, Write};

use crate::fixture::{Fixture, delta, new_run};
use crate::probe::Probe;
use crate::stage::{hear_until, while_following};

/// One test per named function and ledger.
macro_rules! over_both_ledgers {
    ($($name:ident),* $(,)?) => {
        over_both_ledgers!(@ sqlite $($name)*);
        over_both_ledgers!(@ postgres $($name)*);
    };
    (@ $database:ident $($name:ident)*) => {
        mod $database {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    $crate::fixture::Fixture::$database().await.run(super::$name).await;
                }
            )*
        }
    };
}

over_both_ledgers!(
    thousands_of_runs_are_watched_at_once,
    a_ledger_that_was_away_is_asked_again,
    only_watched_runs_are_asked_about,
    a_long_log_is_no_hold_up_for_others,
);

/// Subscribes to the whole log of a run.
async fn subscribe(tail: &Arc<TailFeed>, run: RunId) -> Subscription {
    tail.feed().subscribe.subscribe(run, Cursor::START).await
}

async fn thousands_of_runs_are_watched_at_once(f: &Fixture) {
    let runs = f.accept_many("acme", 2_500).await;
    let tail = TailFeed::new(f.log.clone());
    let mut subscriptions = Vec::new();
    for run in &runs {
        subscriptions.push(subscribe(&tail, *run).await);
    }
    let work = async {
        for subscription in &mut subscriptions {
            assert_eq!(hear_until(subscription, Cursor::QUEUED).await.len(), 1);
        }
        let worker = f.worker().await;
        let claimed = f.execute.claim(worker, &runs, None).await.unwrap();
        assert_eq!(claimed.len(), runs.len());
        for (run, subscription) in runs.iter().zip(&mut subscriptions) {
            let started = claimed
                .iter()
                .find(|claimed| claimed.id == *run)
                .expect("claimed");
            let heard = hear_until(subscription, Cursor::new(1, 1)).await;
            assert_eq!(heard, std::slice::from_ref(&started.started));
        }
    };
    while_following(&tail, work).await;
}

async fn a_ledger_that_was_away_is_asked_again(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let probe = Probe::new(f.log.clone());
    let tail = TailFeed::new(probe.clone());
    let mut subscription = subscribe(&tail, claimed.id).await;
    let work = async {
        assert_eq!(hear_until(&mut subscription, Cursor::new(1, 1)).await.len(), 2);
        f.sql("ALTER TABLE mcp_event RENAME TO mcp_event_away")
            .await
            .unwrap();
        probe.until(|asked| asked.failures >= 2).await;
        f.sql("ALTER TABLE mcp_event_away RENAME TO mcp_event")
            .await
            .unwrap();
        f.append(worker, crate::fixture::output(&claimed, 2, "back"))
            .await;
        assert_eq!(
            hear_until(&mut subscription, Cursor::new(1, 2)).await,
            [delta(1, 2, "back")]
        );
    };
    while_following(&tail, work).await;
}

async fn only_watched_runs_are_asked_about(f: &Fixture) {
    let runs = f.accept_many("acme", 3).await;
    let probe = Probe::new(f.log.clone());
    let tail = TailFeed::new(probe.clone());
    let work = async {
        let stays = subscribe(&tail, runs[0]).await;
        let leaves = subscribe(&tail, runs[1]).await;
        probe
            .until(|asked| asked.tails.last().is_some_and(|(runs, _)| runs.len() == 2))
            .await;
        drop(leaves);
        let before = probe.look(|asked| asked.tails.len());
        // The first of these may have been on its way.
        probe.until(|asked| asked.tails.len() >= before + 3).await;
        probe.look(|asked| {
            for (asked_about, _) in &asked.tails[before + 1..] {
                assert_eq!(asked_about, &runs[..1]);
            }
            assert!(
                !asked
                    .tails
                    .iter()
                    .any(|(asked_about, _)| asked_about.contains(&runs[2]))
            );
            assert!(!asked.tails.iter().any(|(asked_about, _)| asked_about.is_empty()));
        });
        drop(stays);
    };
    while_following(&tail, work).await;
}

/// More entries than four answers carry.
const LONG: u32 = 9_000;

async fn a_long_log_is_no_hold_up_for_others(f: &Fixture) {
    let (worker, long) = f.holder(new_run("acme")).await;
    let write = Write {
        run: long.id,
        epoch: long.epoch,
        entries: (2..LONG).map(|seq| delta(1, seq, "x")).collect(),
        usage: Vec::new(),
        then: Then::Continue,
    };
    f.append(worker, write).await;
    let short = f.accept_many("beta", 10).await;
    let probe = Probe::new(f.log.clone());
    let tail = TailFeed::new(probe.clone());
    let mut subscriptions = vec![subscribe(&tail, long.id).await];
    for run in &short {
        subscriptions.push(subscribe(&tail, *run).await);
    }
    while_following(&tail, async {
        probe
            .until(|asked| {
                asked.tails.iter().map(|(_, news)| news.len()).sum::<usize>() >= LONG as usize + 10
            })
            .await;
    })
    .await;
    probe.look(|asked| {
        let soon: Vec<RunId> = asked.tails[..2]
            .iter()
            .flat_map(|(_, news)| news.clone())
            .collect();
        assert!(
            short.iter().all(|run| soon.contains(run)),
            "all in the first two answers"
        );
        assert!(asked.tails.len() >= 5, "a long log takes several answers");
    });
}
