//! History and live, joined into one stream that ends.

use futures_util::FutureExt as _;
use shared::domain::{Cursor, EventType, LogEntry};
use shared::ledger::CancelOutcome;

use crate::fixture::new_run;
use crate::life::Life;
use crate::stage::{Stage, next, to_the_end, until};

crate::contract!(
    history_goes_over_into_live,
    who_accepts_a_run_watches_it_without_reading_it_back,
    from_every_cursor_comes_the_rest,
    watchers_who_join_at_different_moments_see_the_same,
    a_replay_is_the_live_view_byte_for_byte,
    it_ends_after_the_terminal_event,
    a_run_that_ends_in_the_queue_ends_for_its_watchers,
    long_logs_come_page_by_page,
    large_entries_come_whole,
    who_lags_behind_catches_up,
    dropping_a_wait_loses_nothing,
);

async fn history_goes_over_into_live(s: &Stage<'_>) {
    let mut life = Life::running(s).await;
    life.write(&["a", "b"]).await;
    let mut watcher = s.open(life.run, Cursor::START).await;
    assert_eq!(watcher.last(), Cursor::START);
    assert_eq!(until(&mut watcher, life.last).await, s.whole_log(life.run).await);
    for _ in 0..3 {
        let before = life.last;
        life.write(&["c"]).await;
        assert_eq!(next(&mut watcher).await, s.log_after(life.run, before).await[0]);
        assert_eq!(watcher.last(), life.last);
    }
}

async fn who_accepts_a_run_watches_it_without_reading_it_back(s: &Stage<'_>) {
    let run = new_run("acme");
    let expected = s.watch.expect(run.id).await;
    let mut life = Life::of(s, run).await;
    let queued = s.whole_log(life.run).await.remove(0);
    let mut watcher = expected.accepted(queued.clone());
    assert_eq!(next(&mut watcher).await, queued);
    life.claim().await;
    life.write(&["a"]).await;
    life.succeed().await;
    let rest = to_the_end(&mut watcher).await;
    assert_eq!(rest, s.log_after(life.run, Cursor::QUEUED).await);
    assert_eq!(
        s.probe.look(|asked| asked.entries),
        0,
        "the feed brought all of it"
    );
}

async fn from_every_cursor_comes_the_rest(s: &Stage<'_>) {
    let life = Life::whole(s).await;
    let log = s.whole_log(life.run).await;
    assert_eq!(log.len(), 22);
    for (place, entry) in log.iter().enumerate() {
        let mut watcher = s.open(life.run, entry.cursor).await;
        assert_eq!(
            to_the_end(&mut watcher).await,
            log[place + 1..],
            "after {}",
            entry.cursor
        );
    }
}

async fn watchers_who_join_at_different_moments_see_the_same(s: &Stage<'_>) {
    let mut life = Life::begin(s).await;
    let mut watchers = vec![
        s.open(life.run, Cursor::START).await,
        s.open(life.run, life.last).await,
    ];
    life.claim().await;
    watchers.push(s.open(life.run, Cursor::START).await);
    life.write(&["a", "b", "c"]).await;
    watchers.push(s.open(life.run, Cursor::new(1, 2)).await);
    life.crash().await;
    watchers.push(s.open(life.run, life.last).await);
    life.claim().await;
    watchers.push(s.open(life.run, Cursor::new(1, 4)).await);
    life.write(&["d"]).await;
    life.succeed().await;
    watchers.push(s.open(life.run, life.last).await);
    for mut watcher in watchers {
        let rest = s.log_after(life.run, watcher.last()).await;
        assert_eq!(to_the_end(&mut watcher).await, rest);
    }
}

async fn a_replay_is_the_live_view_byte_for_byte(s: &Stage<'_>) {
    let mut life = Life::begin(s).await;
    let mut watcher = s.open(life.run, Cursor::START).await;
    let mut live = vec![next(&mut watcher).await];
    life.claim().await;
    for text in ["a", "\u{0}\r\n\u{2028}", "é🦀\\\"", "<!-- & -->", "  "] {
        live.extend(until(&mut watcher, life.last).await);
        life.write(&[text]).await;
    }
    life.succeed().await;
    live.extend(to_the_end(&mut watcher).await);
    let replay = to_the_end(&mut s.open(life.run, Cursor::START).await).await;
    let as_sent = |entries: &[LogEntry]| entries.iter().map(LogEntry::to_json).collect::<Vec<_>>();
    assert_eq!(as_sent(&live), as_sent(&replay));
    assert_eq!(live.len(), 8);
}

async fn it_ends_after_the_terminal_event(s: &Stage<'_>) {
    let mut life = Life::running(s).await;
    let mut live = s.open(life.run, Cursor::START).await;
    until(&mut live, life.last).await;
    life.succeed().await;
    for mut watcher in [live, s.open(life.run, Cursor::new(1, 1)).await] {
        let end = to_the_end(&mut watcher).await;
        assert_eq!(end.last().map(|entry| entry.kind), Some(EventType::RunSucceeded));
        // And stays ended.
        assert_eq!(watcher.next().now_or_never(), Some(None));
    }
    let mut after_the_end = s.open(life.run, life.last).await;
    assert_eq!(after_the_end.next().now_or_never(), Some(None));
}

async fn a_run_that_ends_in_the_queue_ends_for_its_watchers(s: &Stage<'_>) {
    let life = Life::begin(s).await;
    let mut watcher = s.open(life.run, Cursor::START).await;
    next(&mut watcher).await;
    let outcome = s.submit.cancel(life.run, "client").await.unwrap();
    let CancelOutcome::Cancelled(entry) = outcome else {
        panic!("{outcome:?}")
    };
    let commit = shared::feed::Commit {
        run: life.run,
        entries: vec![entry.clone()].into(),
    };
    s.publish.publish(vec![commit]).await;
    assert_eq!(to_the_end(&mut watcher).await, [entry]);
}

async fn long_logs_come_page_by_page(s: &Stage<'_>) {
    let mut life = Life::running(s).await;
    // A page and some, an exact number of pages in all, and one more while somebody watches.
    life.write(&["x"; 300]).await;
    life.write(&["y"; 3 * 256 - 302]).await;
    let mut watcher = s.open(life.run, Cursor::START).await;
    let mut seen = until(&mut watcher, life.last).await;
    assert_eq!(seen.len(), 3 * 256);
    life.write(&["z"]).await;
    life.succeed().await;
    seen.extend(to_the_end(&mut watcher).await);
    assert_eq!(seen, s.whole_log(life.run).await);
}

async fn large_entries_come_whole(s: &Stage<'_>) {
    let mut life = Life::running(s).await;
    let (large, half) = ("x".repeat(3 << 19), "é".repeat(1 << 18));
    let mut live = s.open(life.run, Cursor::START).await;
    until(&mut live, life.last).await;
    life.write(&[&large, "small", &large]).await;
    life.write(&[&half, &half, &half, "small"]).await;
    life.succeed().await;
    let log = s.whole_log(life.run).await;
    assert_eq!(to_the_end(&mut live).await, log[2..]);
    let mut replay = s.open(life.run, Cursor::START).await;
    // A watcher holds about a page, however large what follows is.
    let mut seen = Vec::new();
    while let Some(entry) = replay.next().await {
        seen.push(entry);
        assert!(replay.buffered() < 4, "{}", replay.buffered());
    }
    assert_eq!(seen, log);
}

async fn who_lags_behind_catches_up(s: &Stage<'_>) {
    let mut life = Life::running(s).await;
    let mut watcher = s.open(life.run, Cursor::START).await;
    let mut seen = until(&mut watcher, life.last).await;
    // More commits than any feed keeps for it, twice.
    for _ in 0..2 {
        for _ in 0..100 {
            life.write(&["x"]).await;
        }
        seen.push(next(&mut watcher).await);
        assert!(watcher.buffered() <= 256, "{}", watcher.buffered());
    }
    life.succeed().await;
    seen.extend(to_the_end(&mut watcher).await);
    assert_eq!(seen, s.whole_log(life.run).await);
}

async fn dropping_a_wait_loses_nothing(s: &Stage<'_>) {
    let mut life = Life::running(s).await;
    let mut watcher = s.open(life.run, Cursor::START).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        life.write(&["x", "y"]).await;
        while watcher.last() < life.last {
            // A wait that is given up at once, in whatever state it is.
            match watcher.next().now_or_never() {
                Some(entry) => seen.extend(entry),
                None => seen.push(next(&mut watcher).await),
            }
        }
    }
    life.succeed().await;
    seen.extend(to_the_end(&mut watcher).await);
    assert_eq!(seen, s.whole_log(life.run).await);
}
