//! Drives a load: threads that share nothing, streams on them that send one run after the other, and the moment at
//! which all of it begins, counts and ends.
//!
//! A thread has a runtime of its own with no other thread in it: nothing is stolen, woken across or locked for long,
//! and what the generator costs stays small beside what it measures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, sleep_until, timeout};

use super::answer::{Answer, End};
use super::load::{Arrivals, Extent, Load, Plan};
use super::stand_in::Calls;
use super::tally::{Ended, Notes, Tally, Window};
use super::target::{Connection, Target, root};

/// A run may take so much longer than its provider takes for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// After an error a stream waits so long: what is broken is not to be stormed.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// Where the number of runs says when it ends, time does not: longer than any benchmark.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// So much of a refusal is read.
const REFUSAL_BYTES: usize = 64 * 1024;

/// What came of a load.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) tally: Tally,
    /// How long counting went on.
    pub(super) counted_for: Duration,
    /// The share of their time that the generator's threads were busy: near 1, it measures itself.
    pub(super) busy: f64,
}

/// Drives the load to its end. `calls` is where submits are noted, if this process is the provider, too.
pub(super) async fn drive(
    plan: Plan,
    target: Target,
    calls: Option<Arc<Calls>>,
) -> std::io::Result<Measured> {
    let threads = plan.threads.get();
    let course = Arc::new(Course::new(plan, target, calls));
    let mut lanes = JoinSet::new();
    for lane in 0..threads {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let course = Arc::clone(&course);
        lanes.spawn(async move {
            spawn_blocking(move || {
                let streams = (0..course.plan.concurrency.get()).filter(|stream| stream % threads == lane);
                let tally = runtime.block_on(course.lane(streams));
                (tally, runtime.metrics().worker_total_busy_duration(0))
            })
            .await
        });
    }
    let mut tally = Tally::default();
    let mut busy = Duration::ZERO;
    while let Some(ended) = lanes.join_next().await {
        let (one, worked) = ended.and_then(std::convert::identity)?;
        tally.merge(one);
        busy += worked;
    }
    let elapsed = course.started.elapsed();
    Ok(Measured {
        tally,
        counted_for: match course.plan.extent {
            Extent::Time { measured, .. } => measured,
            Extent::Runs(_) => elapsed,
        },
        busy: busy.as_secs_f64() / elapsed.as_secs_f64() / f64::from(threads),
    })
}

/// What all streams share.
struct Course {
    plan: Plan,
    target: Target,
    calls: Option<Arc<Calls>>,
    started: Instant,
    window: Window,
    /// The number of the next run.
    next: AtomicU64,
    wave: Option<Wave>,
}

/// Where the streams of a wave wait for each other.
struct Wave {
    barrier: Barrier,
    over: AtomicBool,
}

impl Course {
    fn new(plan: Plan, target: Target, calls: Option<Arc<Calls>>) -> Self {
        let started = Instant::now();
        let (warm_up, measured) = match plan.extent {
            Extent::Time { warm_up, measured } => (warm_up, measured),
            Extent::Runs(_) => (Duration::ZERO, ENDLESS),
        };
        let begin = started + warm_up;
        let wave = (plan.arrivals == Arrivals::Wave).then(|| Wave {
            barrier: Barrier::new(plan.concurrency.get() as usize),
            over: AtomicBool::new(false),
        });
        Self {
            plan,
            target,
            calls,
            started,
            window: Window {
                begin,
                end: begin + measured,
            },
            next: AtomicU64::new(0),
            wave,
        }
    }

    /// One thread's streams, to their end.
    async fn lane(self: &Arc<Self>, streams: impl Iterator<Item = u32>) -> Tally {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut running = JoinSet::new();
        for stream in streams {
            let delay = self.plan.delay(stream);
            let stream = Stream {
                course: Arc::clone(self),
                tally: Arc::clone(&tally),
                connection: None,
                answer: Answer::new(self.target.protocol),
                notes: Notes::new(),
            };
            running.spawn(stream.flow(delay));
        }
        running.join_all().await;
        std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of another run, if there is to be one; in waves once every stream has come back.
    async fn another(&self) -> Option<u64> {
        if let Some(wave) = &self.wave {
            if wave.barrier.wait().await.is_leader() {
                wave.over.store(self.is_over(), Ordering::Release);
            }
            // The others wait for the leader's decision.
            wave.barrier.wait().await;
            if wave.over.load(Ordering::Acquire) {
                return None;
            }
            return Some(self.next.fetch_add(1, Ordering::Relaxed));
        }
        if self.is_over() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.plan.extent {
            Extent::Runs(runs) => (number < runs).then_some(number),
            Extent::Time { .. } => Some(number),
        }
    }

    fn is_over(&self) -> bool {
        match self.plan.extent {
            Extent::Time { .. } => Instant::now() >= self.window.end,
            Extent::Runs(runs) => self.next.load(Ordering::Relaxed) >= runs,
        }
    }
}

/// One run at a time, over one connection.
struct Stream {
    course: Arc<Course>,
    tally: Arc<Mutex<Tally>>,
    connection: Option<Connection>,
    answer: Answer,
    notes: Notes,
}

impl Stream {
    async fn flow(mut self, delay: Duration) {
        sleep_until((self.course.started + delay).into()).await;
        loop {
            // Before its turn, so that in a wave nobody is late by a handshake.
            let connected = self.connect().await;
            let Some(number) = self.course.another().await else {
                return;
            };
            self.answer.reset();
            self.notes.begin();
            let ended = match connected {
                Ok(connection) => {
                    let limit = self.course.plan.run_length() + PATIENCE;
                    timeout(limit, self.run(connection, number))
                        .await
                        .unwrap_or_else(|_| Err(format!("not ended after {} s", limit.as_secs())))
                }
                Err(why) => Err(why),
            };
            if let Err(why) = ended {
                self.tally().failed(&self.notes, why);
                sleep(AFTER_ERROR).await;
            }
        }
    }

    /// The connection there is, or a new one.
    async fn connect(&mut self) -> Result<Connection, String> {
        if let Some(mut connection) = self.connection.take()
            && connection.ready().await
        {
            return Ok(connection);
        }
        self.course.target.connect().await
    }

    /// Sends a run and reads it to its end. The connection is kept if it can carry another.
    async fn run(&mut self, mut connection: Connection, number: u64) -> Result<(), String> {
        let course = Arc::clone(&self.course);
        let request = course.target.request(number);
        self.notes.sent = Instant::now();
        if let Some(calls) = &course.calls {
            calls.submitted(number, self.notes.sent, course.window.holds(self.notes.sent));
        }
        let response = connection
            .send(request)
            .await
            .map_err(|error| broke_off(&error))?;
        self.notes.accepted = Some(Instant::now());
        let wanted = match course.plan.load {
            Load::Submit => StatusCode::ACCEPTED,
            Load::Paced | Load::Flat | Load::Noop => StatusCode::OK,
        };
        if response.status() != wanted {
            return Err(refusal(response).await);
        }
        self.read(response.into_body()).await?;
        let now = Instant::now();
        self.connection = Some(connection);
        if course.plan.load != Load::Submit {
            self.judge()?;
        }
        let ended = Ended {
            words: self.answer.words,
            reported: self.answer.reported,
            rewinds: self.answer.rewinds,
        };
        self.tally().completed(course.window, &self.notes, &ended, now);
        Ok(())
    }

    async fn read(&mut self, mut body: Incoming) -> Result<(), String> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broke_off(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            let before = self.answer.words;
            if self.answer.read(data) {
                self.arrival(before);
            }
        }
        if self.answer.close() {
            self.arrival(0);
        }
        Ok(())
    }

    /// Text has come; there were so many words before it.
    fn arrival(&mut self, before: u64) {
        let now = Instant::now();
        self.notes.arrival(now);
        if self.course.window.holds(now) {
            // A rewind takes words back; what was sent before it was sent all the same.
            self.notes.words += self.answer.words.saturating_sub(before);
        }
    }

    /// Whether what was read is the answer that was asked for.
    fn judge(&mut self) -> Result<(), String> {
        match self.answer.end.take() {
            None => Err("the answer broke off".to_owned()),
            Some(End::Failed(why)) => Err(why),
            Some(End::Complete) => {
                let wanted = u64::from(self.course.plan.shape.tokens);
                if self.course.plan.exact && self.answer.words != wanted {
                    return Err(format!("{} tokens instead of {wanted}", self.answer.words));
                }
                Ok(())
            }
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        // Only counts: a panic elsewhere cannot have left half of anything that matters.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broke_off(error: &hyper::Error) -> String {
    format!("the connection broke: {}", root(error))
}

/// What a refusal says: its status, and the stable code of a problem document.
async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), REFUSAL_BYTES)
        .collect()
        .await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let code = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|body| Some(body["code"].as_str()?.to_owned()));
    code.map_or_else(
        || format!("HTTP {status}"),
        |code| format!("HTTP {status}: {code}"),
    )
}
