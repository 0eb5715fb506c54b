//! `Log::entries` and `tail`.

use shared::domain::{Cursor, LogEntry, RequeueReason, RunId, Timestamp};
use shared::ledger::{Claimed, Then, Write};

use crate::fixture::{Fixture, delta, new_run, output, requeue};

crate::contract!(
    entries_come_after_the_cursor_in_order,
    pages_join_without_gap_or_repeat,
    nothing_after_the_last_entry,
    a_page_is_about_a_mebibyte,
    an_entry_larger_than_a_page_comes_alone,
    tail_reads_each_run_after_its_own_cursor,
    tail_has_one_limit_for_all,
    tail_is_about_a_mebibyte,
    tail_of_nothing_is_nothing,
);

async fn write(f: &Fixture, worker: shared::domain::WorkerId, claimed: &Claimed, texts: &[&str]) {
    let entries = texts
        .iter()
        .zip(2..)
        .map(|(text, seq)| delta(claimed.epoch, seq, text))
        .collect();
    let write = Write {
        run: claimed.id,
        epoch: claimed.epoch,
        entries,
        usage: Vec::new(),
        then: Then::Continue,
    };
    f.append(worker, write).await;
}

fn cursors(entries: &[LogEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.cursor.to_string()).collect()
}

/// A run with entries in the epochs 0, 1, 2 and 3.
async fn long_run(f: &Fixture) -> RunId {
    let (worker, first) = f.holder(new_run("acme")).await;
    write(f, worker, &first, &["a", "b"]).await;
    f.upkeep.release(worker, first.id, 1).await.unwrap();
    let third = f.claim(worker, first.id).await;
    // Eleven, so that order by number and order by text differ.
    write(f, worker, &third, &["c"; 10]).await;
    f.append(
        worker,
        requeue(&third, 12, RequeueReason::Released, Timestamp::from_millis(0)),
    )
    .await;
    first.id
}

async fn entries_come_after_the_cursor_in_order(f: &Fixture) {
    let run = long_run(f).await;
    let all = f.log.entries(run, Cursor::START, 100).await.unwrap();
    let expected = [
        "0-1", "1-1", "1-2", "1-3", "2-1", "3-1", "3-2", "3-3", "3-4", "3-5", "3-6", "3-7", "3-8", "3-9",
        "3-10", "3-11", "3-12",
    ];
    assert_eq!(cursors(&all), expected);
    for (place, entry) in all.iter().enumerate() {
        let rest = f.log.entries(run, entry.cursor, 100).await.unwrap();
        assert_eq!(rest, all[place + 1..]);
    }
    // Also after a cursor that is no entry's.
    assert_eq!(
        cursors(&f.log.entries(run, Cursor::new(1, 99), 1).await.unwrap()),
        ["2-1"]
    );
}

async fn pages_join_without_gap_or_repeat(f: &Fixture) {
    let run = long_run(f).await;
    let all = f.log.entries(run, Cursor::START, 100).await.unwrap();
    for limit in [1, 2, 5] {
        let mut joined: Vec<LogEntry> = Vec::new();
        loop {
            let after = joined.last().map_or(Cursor::START, |entry| entry.cursor);
            let page = f.log.entries(run, after, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                break;
            }
            joined.extend(page);
        }
        assert_eq!(joined, all);
    }
}

async fn nothing_after_the_last_entry(f: &Fixture) {
    let run = long_run(f).await;
    assert!(
        f.log
            .entries(run, Cursor::new(3, 12), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        f.log
            .entries(RunId::new(), Cursor::START, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

const MEBIBYTE: usize = 1 << 20;

async fn large_run(f: &Fixture) -> RunId {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let text = "x".repeat(300_000);
    write(f, worker, &claimed, &[&*text; 10]).await;
    claimed.id
}

fn about_a_mebibyte(page: &[LogEntry]) {
    let sizes: Vec<usize> = page.iter().map(|entry| entry.data.len()).collect();
    let (last, others) = sizes.split_last().expect("always at least one");
    let others: usize = others.iter().sum();
    assert!(
        others <= MEBIBYTE && others + last >= MEBIBYTE - 300_100,
        "{sizes:?}"
    );
}

async fn a_page_is_about_a_mebibyte(f: &Fixture) {
    let run = large_run(f).await;
    about_a_mebibyte(&f.log.entries(run, Cursor::START, 100).await.unwrap());
    // Page by page it is all there.
    let log = f.whole_log(run).await;
    assert_eq!(log.len(), 12);
    assert!(log[2..].iter().all(|entry| entry.data.len() > 300_000));
}

async fn an_entry_larger_than_a_page_comes_alone(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    let text = "é".repeat(2 * MEBIBYTE);
    write(f, worker, &claimed, &[&text, "small", &text, "small"]).await;
    for (after, expected) in [(1, "1-2"), (3, "1-4")] {
        let page = f
            .log
            .entries(claimed.id, Cursor::new(1, after), 100)
            .await
            .unwrap();
        assert_eq!(cursors(&page), [expected]);
        assert!(page[0].data.len() > 4 * MEBIBYTE);
    }
}

async fn tail_reads_each_run_after_its_own_cursor(f: &Fixture) {
    let (worker, first) = f.holder(new_run("acme")).await;
    let (other, second) = f.holder(new_run("beta")).await;
    write(f, worker, &first, &["a", "b"]).await;
    write(f, other, &second, &["c"]).await;
    let quiet = f.accept(new_run("acme")).await;
    let watched = [
        (first.id, Cursor::new(1, 2)),
        (quiet, Cursor::QUEUED),
        (second.id, Cursor::START),
        (RunId::new(), Cursor::START),
    ];
    let entries = f.log.tail(&watched, 100).await.unwrap();
    let of = |run: RunId| -> Vec<String> {
        entries
            .iter()
            .filter(|(owner, _)| *owner == run)
            .map(|(_, entry)| entry.cursor.to_string())
            .collect()
    };
    assert_eq!(of(first.id), ["1-3"]);
    assert_eq!(of(second.id), ["0-1", "1-1", "1-2"]);
    assert_eq!(entries.len(), 4);
    let log = f.whole_log(first.id).await;
    assert!(entries.contains(&(first.id, log[3].clone())));
}

async fn tail_has_one_limit_for_all(f: &Fixture) {
    let run = long_run(f).await;
    let other = long_run(f).await;
    let mut cursors = [(run, Cursor::START), (other, Cursor::START)];
    let mut seen = 0;
    loop {
        let entries = f.log.tail(&cursors, 5).await.unwrap();
        assert!(entries.len() <= 5);
        if entries.is_empty() {
            break;
        }
        for (owner, entry) in entries {
            let (_, cursor) = cursors
                .iter_mut()
                .find(|(run, _)| *run == owner)
                .expect("a watched run");
            assert!(entry.cursor > *cursor, "in order inside each run");
            *cursor = entry.cursor;
            seen += 1;
        }
    }
    assert_eq!(seen, 34);
}

async fn tail_is_about_a_mebibyte(f: &Fixture) {
    let runs = [large_run(f).await, large_run(f).await];
    let entries = f
        .log
        .tail(&runs.map(|run| (run, Cursor::new(1, 1))), 100)
        .await
        .unwrap();
    let entries: Vec<LogEntry> = entries.into_iter().map(|(_, entry)| entry).collect();
    about_a_mebibyte(&entries);
}

async fn tail_of_nothing_is_nothing(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, output(&claimed, 2, "x")).await;
    assert!(f.log.tail(&[], 10).await.unwrap().is_empty());
    assert!(
        f.log
            .tail(&[(claimed.id, Cursor::new(1, 2))], 10)
            .await
            .unwrap()
            .is_empty()
    );
}
