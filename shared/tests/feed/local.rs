//! What the feed inside one process adds: it keeps a bounded number of commits, for subscribers, and for nobody else.

use std::sync::Arc;

use shared::domain::{Cursor, LogEntry, RunId};
use shared::feed::{Commit, Feed, News};

use crate::fixture::delta;
use crate::stage::next;

/// A commit of one entry.
fn commit(run: RunId, seq: u32, text: &str) -> Commit {
    Commit {
        run,
        entries: Arc::new([delta(1, seq, text)]),
    }
}

/// How many of these the feed still holds.
fn kept(commits: &[Commit]) -> usize {
    commits
        .iter()
        .filter(|commit| Arc::strong_count(&commit.entries) > 1)
        .count()
}

#[tokio::test]
async fn nothing_is_kept_for_runs_nobody_watches() {
    let feed = Feed::local();
    let run = RunId::new();
    let other = feed.subscribe.subscribe(RunId::new(), Cursor::START).await;
    let commits = vec![commit(run, 2, "a"), commit(run, 3, "b")];
    feed.publish.publish(commits.clone()).await;
    assert_eq!(kept(&commits), 0);
    drop(other);
}

#[tokio::test]
async fn what_is_kept_for_a_stuck_subscriber_is_bounded_and_goes_with_it() {
    let feed = Feed::local();
    let run = RunId::new();
    let mut stuck = feed.subscribe.subscribe(run, Cursor::START).await;
    let commits: Vec<Commit> = (2..1_002).map(|seq| commit(run, seq, "x")).collect();
    for commit in &commits {
        feed.publish.publish(vec![commit.clone()]).await;
    }
    assert!((1..=64).contains(&kept(&commits)), "{} commits", kept(&commits));
    assert!(
        matches!(next(&mut stuck).await, News::Look),
        "it missed the first ones"
    );
    // After that it hears the latest ones, to the last.
    let mut heard: Vec<LogEntry> = Vec::new();
    while heard.last().is_none_or(|entry| entry.cursor.seq < 1_001) {
        let News::Entries(entries) = next(&mut stuck).await else {
            panic!("told to look twice")
        };
        heard.extend(entries.iter().cloned());
    }
    assert!(
        heard
            .windows(2)
            .all(|two| two[0].cursor.is_followed_by(two[1].cursor))
    );
    drop(stuck);
    assert_eq!(kept(&commits), 0);
}

#[tokio::test]
async fn a_heavy_commit_is_not_kept() {
    let feed = Feed::local();
    let run = RunId::new();
    let mut subscription = feed.subscribe.subscribe(run, Cursor::START).await;
    let heavy = [commit(run, 2, &"x".repeat(1 << 20))];
    feed.publish.publish(heavy.to_vec()).await;
    assert_eq!(kept(&heavy), 0);
    assert!(matches!(next(&mut subscription).await, News::Look));
}
