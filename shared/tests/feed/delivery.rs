//! What is committed reaches who watches: in order, whole, and nobody else.

use shared::domain::{Cursor, LogEntry};

use crate::stage::{Stage, hear_until};

crate::contract!(
    every_subscriber_hears_every_commit_in_order,
    what_was_committed_before_is_not_repeated,
    who_joins_later_hears_what_comes,
    who_leaves_and_comes_back_hears_what_comes,
    each_hears_of_its_own_run_only,
    the_data_comes_byte_for_byte,
);

async fn every_subscriber_hears_every_commit_in_order(s: &Stage<'_>) {
    let mut run = s.run().await;
    let mut subscriptions = Vec::new();
    for _ in 0..3 {
        subscriptions.push(s.subscribe(&run).await);
    }
    let mut committed = Vec::new();
    for texts in [&["a"][..], &["b", "c", "d"], &["e"], &["f", "g"]] {
        committed.extend(s.commit(&mut run, texts).await);
    }
    for subscription in &mut subscriptions {
        assert_eq!(hear_until(subscription, run.last).await, committed);
    }
    // And so it goes on.
    let more = s.commit(&mut run, &["h"]).await;
    for subscription in &mut subscriptions {
        assert_eq!(hear_until(subscription, run.last).await, more);
    }
}

async fn what_was_committed_before_is_not_repeated(s: &Stage<'_>) {
    let mut run = s.run().await;
    s.commit(&mut run, &["a", "b"]).await;
    let mut subscription = s.subscribe(&run).await;
    let news = s.commit(&mut run, &["c"]).await;
    assert_eq!(hear_until(&mut subscription, run.last).await, news);
}

/// Whether these are entries of this log, in order. A subscriber may hear again what it has, and never something wrong.
fn is_of(heard: &[LogEntry], log: &[LogEntry]) -> bool {
    heard.is_sorted_by_key(|entry| entry.cursor) && heard.iter().all(|entry| log.contains(entry))
}

async fn who_joins_later_hears_what_comes(s: &Stage<'_>) {
    let mut run = s.run().await;
    let mut first = s.subscribe(&run).await;
    let mut log = s.commit(&mut run, &["a", "b"]).await;
    assert_eq!(hear_until(&mut first, run.last).await, log);
    // One has read everything, the other only the beginning.
    let mut later = s.subscribe(&run).await;
    let mut behind = s.feed.subscribe.subscribe(run.id, Cursor::new(1, 1)).await;
    let news = s.commit(&mut run, &["c", "d"]).await;
    log.extend(news.clone());
    assert_eq!(hear_until(&mut first, run.last).await, news);
    for subscription in [&mut later, &mut behind] {
        let heard = hear_until(subscription, run.last).await;
        assert!(heard.ends_with(&news), "{heard:?}");
        assert!(is_of(&heard, &log), "{heard:?}");
    }
}

async fn who_leaves_and_comes_back_hears_what_comes(s: &Stage<'_>) {
    let mut run = s.run().await;
    let mut subscription = s.subscribe(&run).await;
    let heard = s.commit(&mut run, &["a"]).await;
    assert_eq!(hear_until(&mut subscription, run.last).await, heard);
    drop(subscription);
    s.commit(&mut run, &["b"]).await;
    let mut subscription = s.subscribe(&run).await;
    let heard = s.commit(&mut run, &["c"]).await;
    assert_eq!(hear_until(&mut subscription, run.last).await, heard);
    // One of two leaves: the other stays.
    let mut other = s.subscribe(&run).await;
    drop(subscription);
    let heard = s.commit(&mut run, &["d"]).await;
    assert_eq!(hear_until(&mut other, run.last).await, heard);
}

async fn each_hears_of_its_own_run_only(s: &Stage<'_>) {
    let (mut one, mut other, mut unwatched) = (s.run().await, s.run().await, s.run().await);
    let mut subscriptions = (s.subscribe(&one).await, s.subscribe(&other).await);
    s.commit(&mut unwatched, &["nobody"]).await;
    let mut committed = (Vec::new(), Vec::new());
    for _ in 0..3 {
        committed.0.extend(s.commit(&mut one, &["one"]).await);
        committed.1.extend(s.commit(&mut other, &["other"]).await);
    }
    assert_eq!(hear_until(&mut subscriptions.0, one.last).await, committed.0);
    assert_eq!(hear_until(&mut subscriptions.1, other.last).await, committed.1);
}

async fn the_data_comes_byte_for_byte(s: &Stage<'_>) {
    let mut run = s.run().await;
    let mut subscription = s.subscribe(&run).await;
    let committed = s
        .commit(
            &mut run,
            &["", "\u{0}\n\r\u{2028}", "é🦀\\\"", "<!-- & -->", "  "],
        )
        .await;
    let heard = hear_until(&mut subscription, run.last).await;
    let as_sent = |entries: &[LogEntry]| entries.iter().map(LogEntry::to_json).collect::<Vec<_>>();
    assert_eq!(as_sent(&heard), as_sent(&committed));
}
