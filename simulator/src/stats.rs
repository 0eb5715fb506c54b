//! What the simulator has seen: counters, and a bounded log of the last requests.
//!
//! Every request holds a [`Ticket`] from the moment its body was read until its fate is known; a ticket that is
//! dropped unsettled is a client that left. Must never store credentials, and never grow with the number of requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::watch;

/// Counters since the start, and gauges. At rest, `requests` is the sum of `open` and the five outcomes' counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Chat requests whose body was read.
    pub requests: u64,
    /// Chat requests in progress now, streamed or not.
    pub open: u64,
    /// The largest value `open` has had.
    pub peak_open: u64,
    /// Streams that are being sent now; part of `open`.
    pub open_streams: u64,
    /// Answers handed over to the end without a fault.
    pub completed: u64,
    /// Requests that got the fault they asked for.
    pub faulted: u64,
    /// Requests refused for being bad: not valid, unknown model, unknown option.
    pub refused: u64,
    /// Requests whose client left before the end, streamed or not. A server that shuts down counts here too.
    pub dropped: u64,
    /// Tokens handed over in requests that have ended.
    pub tokens: u64,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered to the end.
    Completed,
    /// The scripted fault happened.
    Faulted,
    /// A bad request.
    Refused,
    /// The client left before the end.
    Dropped,
}

/// One request of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Position in the order of arrival, from 1; also in the answer's `id` and the header `x-request-id`.
    pub number: u64,
    /// The model as it was sent; empty if the body could not be read.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Whether there was an `Authorization` header. Its value is not kept.
    pub authorized: bool,
    /// The body, at most 64 KiB of it; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// Length of the body as it was sent, in bytes.
    pub body_bytes: usize,
    /// How it ended; `None` while it is in progress.
    pub outcome: Option<Outcome>,
    /// Tokens handed over; counted when the request ends.
    pub tokens: u64,
}

/// What is known about a request when its ticket is drawn.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) model: &'a str,
    pub(crate) stream: bool,
    pub(crate) authorized: bool,
    pub(crate) body: &'a [u8],
}

/// The counters and the log of one simulator.
#[derive(Debug)]
pub(crate) struct Tally {
    stats: watch::Sender<Stats>,
    log: Mutex<VecDeque<RequestRecord>>,
    log_length: usize,
}

impl Tally {
    const BODY_BYTES: usize = 64 * 1024;

    pub(crate) fn new(log_length: usize) -> Self {
        Self {
            stats: watch::Sender::default(),
            log: Mutex::default(),
            log_length,
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// The log, oldest first.
    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.log().iter().cloned().collect()
    }

    /// Counts and logs a request.
    pub(crate) fn open(self: &Arc<Self>, arrival: &Arrival<'_>) -> Ticket {
        let mut log = self.log();
        // Numbers are given under the log's lock, so that the log is in their order.
        let number = self.stats().requests + 1;
        let kept = &arrival.body[..arrival.body.len().min(Self::BODY_BYTES)];
        log.push_back(RequestRecord {
            number,
            model: arrival.model.to_owned(),
            stream: arrival.stream,
            authorized: arrival.authorized,
            body: String::from_utf8_lossy(kept).into_owned(),
            body_bytes: arrival.body.len(),
            outcome: None,
            tokens: 0,
        });
        if log.len() > self.log_length {
            log.pop_front();
        }
        self.stats.send_modify(|stats| {
            stats.requests = number;
            stats.open += 1;
            stats.peak_open = stats.peak_open.max(stats.open);
        });
        Ticket {
            tally: Arc::clone(self),
            number,
            streaming: false,
            tokens: 0,
            settled: false,
        }
    }

    fn settle(&self, ticket: &Ticket, outcome: Outcome) {
        let mut log = self.log();
        if let Some(record) = log.iter_mut().rev().find(|record| record.number == ticket.number) {
            record.outcome = Some(outcome);
            record.tokens = ticket.tokens;
        }
        // Still under the lock: who is woken by the counters finds the log up to date.
        self.stats.send_modify(|stats| {
            stats.open -= 1;
            stats.open_streams -= u64::from(ticket.streaming);
            stats.tokens += ticket.tokens;
            match outcome {
                Outcome::Completed => stats.completed += 1,
                Outcome::Faulted => stats.faulted += 1,
                Outcome::Refused => stats.refused += 1,
                Outcome::Dropped => stats.dropped += 1,
            }
        });
    }

    fn log(&self) -> MutexGuard<'_, VecDeque<RequestRecord>> {
        // Records are pushed and changed whole, so a panic elsewhere cannot have left half of one.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in progress.
#[derive(Debug)]
pub(crate) struct Ticket {
    tally: Arc<Tally>,
    number: u64,
    streaming: bool,
    tokens: u64,
    settled: bool,
}

impl Ticket {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// From now on this is an open stream.
    pub(crate) fn streams(&mut self) {
        self.streaming = true;
        self.tally.stats.send_modify(|stats| stats.open_streams += 1);
    }

    /// Notes tokens handed over. Not published before the end, for the sake of speed.
    pub(crate) fn sent(&mut self, tokens: u64) {
        self.tokens += tokens;
    }

    /// Decides the outcome. Call it before the last bytes are handed over: a client may leave as soon as it has
    /// them. Only the first call counts.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        if !self.settled {
            self.settled = true;
            self.tally.settle(self, outcome);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Outcome::Dropped);
    }
}
