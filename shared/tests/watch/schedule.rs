//! Everything at once: runs that are written, handed back and crash, watchers that join at any moment from any cursor
//! and read quickly, now and then, or only at the end, over a feed that loses a part of what it carries. The dice always
//! fall the same; only how tasks take turns differs from one run of the tests to the next.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::domain::{Cursor, LogEntry};
use shared::watch::{Watch, Watcher};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::life::Life;
use crate::stage::{Stage, to_the_end};

crate::contract!(whoever_joins_whenever_sees_the_log, also_over_a_feed_that_loses);

const SEEDS: u64 = 6;
const STEPS: u32 = 60;
/// More than a log is long.
const PLENTY: usize = 1_000_000;

async fn whoever_joins_whenever_sees_the_log(s: &Stage<'_>) {
    for seed in 0..SEEDS {
        schedule(s, &s.watch, seed).await;
    }
}

async fn also_over_a_feed_that_loses(s: &Stage<'_>) {
    for seed in 0..SEEDS {
        schedule(s, &s.lossy_watch, 1_000 + seed).await;
    }
}

async fn schedule(s: &Stage<'_>, watch: &Watch, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut life = Life::begin(s).await;
    let mut audience = Audience::default();
    audience.join(watch, &life, Cursor::START, &mut dice).await;
    let mut issued = vec![Cursor::START, life.last];
    life.claim().await;
    issued.push(life.last);
    for _ in 0..STEPS {
        match dice.random_range(0..20) {
            0..5 => {
                let after = issued[dice.random_range(0..issued.len())];
                audience.join(watch, &life, after, &mut dice).await;
            }
            5 => {
                life.give_back().await;
                issued.push(life.last);
                life.claim().await;
                issued.push(life.last);
            }
            6 => {
                life.crash().await;
                issued.push(life.last);
                life.claim().await;
                issued.push(life.last);
            }
            7 => {
                // More commits than a feed keeps for who is slow.
                for _ in 0..80 {
                    life.write(&["burst"]).await;
                    issued.push(life.last);
                }
            }
            _ => {
                let texts = vec!["text"; dice.random_range(1..6)];
                let next = life.last.seq + 1;
                life.write(&texts).await;
                issued.extend((next..=life.last.seq).map(|seq| Cursor::new(life.last.epoch, seq)));
            }
        }
        audience.encourage(&mut dice);
    }
    life.succeed().await;
    issued.push(life.last);
    audience.join(watch, &life, life.last, &mut dice).await;
    let log = s.whole_log(life.run).await;
    let of_log: Vec<Cursor> = log.iter().map(|entry| entry.cursor).collect();
    assert_eq!(of_log, issued[1..], "every cursor was issued once, in order");
    for (after, seen) in audience.leave().await {
        let rest: Vec<LogEntry> = log.iter().filter(|entry| entry.cursor > after).cloned().collect();
        assert_eq!(seen, rest, "seed {seed}, after {after}");
    }
}

/// Who watches, each in a task and at a pace of its own.
#[derive(Default)]
struct Audience {
    tasks: JoinSet<(Cursor, Vec<LogEntry>)>,
    paces: Vec<Arc<Semaphore>>,
}

impl Audience {
    async fn join(&mut self, watch: &Watch, life: &Life<'_>, after: Cursor, dice: &mut StdRng) {
        let watcher = watch.open(life.run, after).await.unwrap();
        let pace = Arc::new(Semaphore::new([PLENTY, 0][dice.random_range(0..2)]));
        self.paces.push(Arc::clone(&pace));
        self.tasks
            .spawn(async move { (after, at_its_pace(watcher, &pace).await) });
    }

    /// Lets some of the slow ones go on.
    fn encourage(&self, dice: &mut StdRng) {
        for pace in &self.paces {
            if dice.random_range(0..8) == 0 {
                pace.add_permits(dice.random_range(1..10));
            }
        }
    }

    /// Lets all come to the end; where each began, and what it saw.
    async fn leave(self) -> Vec<(Cursor, Vec<LogEntry>)> {
        for pace in &self.paces {
            pace.close();
        }
        self.tasks.join_all().await
    }
}

/// One permit, one entry; when the gates are open, the rest.
async fn at_its_pace(mut watcher: Watcher, pace: &Semaphore) -> Vec<LogEntry> {
    let mut seen = Vec::new();
    while let Ok(permit) = pace.acquire().await {
        permit.forget();
        match watcher.next().await {
            Some(entry) => seen.push(entry),
            None => return seen,
        }
    }
    seen.extend(to_the_end(&mut watcher).await);
    seen
}
