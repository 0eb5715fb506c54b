//! The faults by name, those that come instead of an answer, and the memory that lets a fault skip some requests
//! and happen only N times.
//!
//! Must never touch an answer that has begun: breaking off and damaging one is done where it is written
//! ([`crate::stream`] and [`crate::whole`]).

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    clock,
    plan::Plan,
    refusal::Refusal,
    stats::{Outcome, Ticket},
    wire::Line,
};

/// What goes wrong. The crate documentation says what the client sees of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Status(StatusCode),
    Html,
    Html200,
    Refuse,
    StallHeaders,
    Reset,
    Cut,
    CutDirty,
    Stall,
    ErrorEvent,
    Malformed,
    BadUtf8,
    GiantLine,
    Empty,
    NoUsage,
    DuplicateUsage,
    NoFinish,
    WrongType,
}

impl Fault {
    /// The fault of that name, or of that status between 400 and 599.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "html" => Self::Html,
            "html200" => Self::Html200,
            "refuse" => Self::Refuse,
            "stall_headers" => Self::StallHeaders,
            "reset" => Self::Reset,
            "cut" => Self::Cut,
            "cut_dirty" => Self::CutDirty,
            "stall" => Self::Stall,
            "error_event" => Self::ErrorEvent,
            "malformed" => Self::Malformed,
            "bad_utf8" => Self::BadUtf8,
            "giant_line" => Self::GiantLine,
            "empty" => Self::Empty,
            "no_usage" => Self::NoUsage,
            "duplicate_usage" => Self::DuplicateUsage,
            "no_finish" => Self::NoFinish,
            "wrong_type" => Self::WrongType,
            status => {
                let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
                (status.is_client_error() || status.is_server_error()).then_some(Self::Status(status))?
            }
        })
    }
}

/// The `Retry-After` of a status fault (RFC 9110, section 10.2.3), in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    /// As a number.
    Seconds(u32),
    /// As the HTTP date so many seconds ahead.
    Date(u32),
}

impl RetryAfter {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value.strip_prefix("date:") {
            Some(seconds) => seconds.parse().ok().map(Self::Date),
            None => value.parse().ok().map(Self::Seconds),
        }
    }

    fn header(self, now: SystemTime) -> HeaderValue {
        match self {
            Self::Seconds(seconds) => HeaderValue::from(seconds),
            Self::Date(seconds) => {
                // HTTP dates have no fractions: round up, so that the wait is never shorter than scripted.
                let date = now + Duration::from_secs(u64::from(seconds)) + Duration::from_nanos(999_999_999);
                // An HTTP date is ASCII by construction.
                HeaderValue::try_from(httpdate::fmt_http_date(date)).unwrap_or(HeaderValue::from_static("0"))
            }
        }
    }
}

/// The response that comes instead of an answer, or `None` if the plan wants an answer.
pub(crate) async fn instead_of_answer(
    plan: &Plan,
    started: Instant,
    line: &Line,
    ticket: &mut Ticket,
) -> Option<Response> {
    let fault = plan.fault?;
    if !matches!(
        fault,
        Fault::Status(_) | Fault::Html | Fault::Html200 | Fault::Refuse | Fault::StallHeaders
    ) {
        return None;
    }
    sleep_until(started + plan.fault_delay).await;
    if fault != Fault::StallHeaders {
        ticket.settle(Outcome::Faulted);
    }
    match fault {
        Fault::Status(status) => {
            let mut response = Refusal::simulated(status).into_response();
            if let Some(retry_after) = plan.retry_after {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, retry_after.header(clock::now()));
            }
            Some(response)
        }
        Fault::Html => Some((StatusCode::BAD_GATEWAY, Html(PAGE)).into_response()),
        Fault::Html200 => Some(Html(PAGE).into_response()),
        Fault::Refuse => {
            line.close();
            pending().await
        }
        _ => pending().await,
    }
}

const PAGE: &str = "<!doctype html>\n<html><head><title>502 Bad Gateway</title></head>\
    <body><h1>Bad Gateway</h1><p>A simulated proxy could not reach its upstream.</p></body></html>\n";

/// How many requests each key has made. Bounded: the key that was seen first is forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<AttemptsByKey>);

#[derive(Debug, Default)]
struct AttemptsByKey {
    counts: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Attempts {
    const KEYS: usize = 4096;

    /// Counts one more request of `key` and returns its number, from 1.
    pub(crate) fn next(&self, key: &str) -> u32 {
        // The map is consistent after every statement, so a panic elsewhere cannot have damaged it.
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = keys.counts.get_mut(key) {
            *count = count.saturating_add(1);
            return *count;
        }
        if keys.order.len() == Self::KEYS
            && let Some(oldest) = keys.order.pop_front()
        {
            keys.counts.remove(&oldest);
        }
        keys.order.push_back(key.to_owned());
        keys.counts.insert(key.to_owned(), 1);
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_key_and_forgotten_in_order() {
        let attempts = Attempts::default();
        assert_eq!(
            (attempts.next("a"), attempts.next("a"), attempts.next("b")),
            (1, 2, 1)
        );
        for n in 0..Attempts::KEYS - 1 {
            attempts.next(&n.to_string());
        }
        assert_eq!(attempts.next("b"), 2, "still remembered");
        assert_eq!(attempts.next("a"), 1, "forgotten");
    }

    #[test]
    fn a_retry_date_is_never_early() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(RetryAfter::Date(2).header(now), "Thu, 01 Jan 1970 00:00:04 GMT");
        let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        assert_eq!(RetryAfter::Date(2).header(whole), "Thu, 01 Jan 1970 00:00:03 GMT");
    }
}
