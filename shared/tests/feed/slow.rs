//! Who does not keep up is told to look at the ledger, and is nobody else's problem.

use shared::domain::{Cursor, LogEntry};
use shared::feed::News;

use crate::stage::{Stage, hear_until, next};

crate::contract!(
    a_slow_subscriber_holds_nobody_up_and_misses_nothing_silently,
    a_heavy_commit_is_announced,
);

async fn a_slow_subscriber_holds_nobody_up_and_misses_nothing_silently(s: &Stage<'_>) {
    let mut run = s.run().await;
    let start = run.last;
    let mut slow = s.subscribe(&run).await;
    let mut quick = s.subscribe(&run).await;
    for _ in 0..20 {
        let mut committed = Vec::new();
        for _ in 0..10 {
            committed.extend(s.commit(&mut run, &["x"]).await);
        }
        assert_eq!(hear_until(&mut quick, run.last).await, committed);
    }
    // Now the slow one begins. A hole is announced, and after it news go on.
    let mut position = start;
    while position < run.last {
        position = follow(position, &next(&mut slow).await, run.last);
    }
    let news = s.commit(&mut run, &["y"]).await;
    assert_eq!(hear_until(&mut quick, run.last).await, news);
    while position < run.last {
        position = follow(position, &next(&mut slow).await, run.last);
    }
}

/// Where a subscriber is after these news, when it reads the ledger, which has everything up to `last`, as soon as it is
/// told to look.
fn follow(position: Cursor, news: &News, last: Cursor) -> Cursor {
    let News::Entries(entries) = news else { return last };
    let unseen: Vec<&LogEntry> = entries.iter().filter(|entry| entry.cursor > position).collect();
    let mut position = position;
    for entry in unseen {
        assert!(
            position.is_followed_by(entry.cursor),
            "{position} is followed by {}",
            entry.cursor
        );
        position = entry.cursor;
    }
    position
}

async fn a_heavy_commit_is_announced(s: &Stage<'_>) {
    let mut run = s.run().await;
    let mut subscription = s.subscribe(&run).await;
    let text = "x".repeat(3 << 20);
    let heavy = s.commit(&mut run, &[&text]).await;
    match next(&mut subscription).await {
        News::Look => {}
        News::Entries(entries) => assert_eq!(*entries, *heavy),
    }
    let news = s.commit(&mut run, &["light"]).await;
    assert_eq!(hear_until(&mut subscription, run.last).await, news);
}
