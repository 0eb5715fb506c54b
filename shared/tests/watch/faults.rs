//! The feed says nothing at all, or the ledger is away: a watcher waits, and goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::Cursor;
use shared::feed::Feed;
use shared::watch::Watch;

use crate::life::Life;
use crate::stage::{Stage, next, to_the_end, until};

crate::contract!(
    a_silent_feed_is_made_up_for_by_asking_the_ledger,
    while_the_ledger_is_away_a_watcher_waits,
    a_watcher_cannot_be_opened_while_the_ledger_is_away,
);

async fn a_silent_feed_is_made_up_for_by_asking_the_ledger(s: &Stage<'_>) {
    let silent = Feed::local().subscribe;
    let watch = Watch::new(s.log.clone(), Arc::clone(&silent)).with_recheck(Duration::from_millis(10));
    let mut life = Life::running(s).await;
    let mut watcher = watch.open(life.run, Cursor::START).await.unwrap();
    let mut seen = until(&mut watcher, life.last).await;
    for _ in 0..3 {
        life.write(&["x"]).await;
        seen.push(next(&mut watcher).await);
    }
    life.give_back().await;
    life.claim().await;
    life.succeed().await;
    seen.extend(to_the_end(&mut watcher).await);
    assert_eq!(seen, s.whole_log(life.run).await);
}

async fn while_the_ledger_is_away_a_watcher_waits(s: &Stage<'_>) {
    let mut life = Life::running(s).await;
    let mut watcher = s.open(life.run, Cursor::START).await;
    s.sql("ALTER TABLE mcp_event RENAME TO mcp_event_away")
        .await
        .unwrap();
    let watching = async {
        let seen = until(&mut watcher, life.last).await;
        (seen, watcher)
    };
    let outage = async {
        s.probe.until(|asked| asked.failures >= 2).await;
        s.sql("ALTER TABLE mcp_event_away RENAME TO mcp_event")
            .await
            .unwrap();
    };
    let ((mut seen, mut watcher), ()) = tokio::join!(watching, outage);
    life.write(&["x"]).await;
    life.succeed().await;
    seen.extend(to_the_end(&mut watcher).await);
    assert_eq!(seen, s.whole_log(life.run).await);
}

async fn a_watcher_cannot_be_opened_while_the_ledger_is_away(s: &Stage<'_>) {
    let life = Life::running(s).await;
    s.sql("ALTER TABLE mcp_event RENAME TO mcp_event_away")
        .await
        .unwrap();
    let refused = s.watch.open(life.run, Cursor::new(1, 1)).await.err();
    assert!(
        matches!(&refused, Some(shared::watch::WatchError::Ledger(error)) if error.is_unavailable()),
        "{refused:?}"
    );
    s.sql("ALTER TABLE mcp_event_away RENAME TO mcp_event")
        .await
        .unwrap();
    let mut watcher = s.open(life.run, Cursor::QUEUED).await;
    assert_eq!(next(&mut watcher).await.cursor, Cursor::new(1, 1));
}
