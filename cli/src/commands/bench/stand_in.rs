//! A provider inside the generator: answers at once, and notes when it was called for which run. So the time from a
//! submit to the provider's call is read off one clock, wherever the workers are.
//!
//! Calls for runs that somebody else has submitted are held until the end: with a limit of running runs per tenant,
//! what that tenant has queued behind them stands, and dispatch can be measured beside it.
//!
//! Speaks just enough of OpenAI's protocol for a streamed answer. It must never stand in for the simulator where an
//! answer has a pace: it knows none.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::histogram::Histogram;
use super::prompt::Sender;

/// Submits under way, and how long it took until the provider was called for them.
#[derive(Debug)]
pub(super) struct Calls {
    sender: Sender,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    submitted: HashMap<u64, Instant>,
    latency: Histogram,
}

impl Calls {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            book: Mutex::default(),
        }
    }

    /// Notes a submit that is about to be sent, if it counts.
    pub(super) fn submitted(&self, number: u64, now: Instant, counts: bool) {
        if counts {
            self.book().submitted.insert(number, now);
        }
    }

    /// Notes the call for a run. A run that is called for again counted the first time.
    fn called(&self, number: u64, now: Instant) {
        let mut book = self.book();
        if let Some(submitted) = book.submitted.remove(&number) {
            book.latency.record(now - submitted);
        }
    }

    pub(super) fn latency(&self) -> Histogram {
        self.book().latency.clone()
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        // Each change is one step: a panic elsewhere leaves it whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until `shutdown`; then no connection is left.
pub(super) async fn serve(
    listener: TcpListener,
    tokens: u32,
    calls: Arc<Calls>,
    shutdown: CancellationToken,
) {
    let answer = answer(tokens);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        // An error is about one client that has gone.
        let Ok((stream, _)) = accepted else { continue };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let (calls, answer, over) = (Arc::clone(&calls), answer.clone(), shutdown.clone());
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, &calls, answer.clone()));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = over.cancelled() => {}
                // What breaks a connection is seen by who called.
                _ = connection => {}
            }
        });
    }
    connections.close();
    connections.wait().await;
}

async fn respond(
    request: Request<Incoming>,
    calls: &Calls,
    answer: Bytes,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = Instant::now();
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    match body.ok().as_deref().and_then(|body| calls.sender.number_in(body)) {
        Some(number) => calls.called(number, now),
        None => std::future::pending().await,
    }
    let mut response = Response::new(Full::new(answer));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// A whole streamed answer of so many tokens, each a word.
fn answer(tokens: u32) -> Bytes {
    const HEAD: &str =
        r#"{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":0,"model":"bench","choices":["#;
    let mut text = format!(
        "data: {HEAD}{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"finish_reason\":null}}]}}\n\n"
    );
    for token in 0..tokens {
        let space = if token == 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "data: {HEAD}{{\"index\":0,\"delta\":{{\"content\":\"{space}word\"}},\"finish_reason\":null}}]}}\n\n"
        );
    }
    let _ = write!(
        text,
        "data: {HEAD}{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {HEAD}],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":{tokens},\"total_tokens\":{}}}}}\n\n\
         data: [DONE]\n\n",
        u64::from(tokens) + 1
    );
    text.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::answer::{Answer, End, Protocol};
    use super::*;

    #[test]
    fn its_answer_is_one_that_the_generator_accepts() {
        let mut read = Answer::new(Protocol::Completions);
        assert!(read.read(&answer(16)));
        assert_eq!(
            (read.words, read.reported, read.end),
            (16, Some(16), Some(End::Complete))
        );
        for line in answer(2)
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"data: {"))
        {
            serde_json::from_slice::<serde_json::Value>(&line[6..]).unwrap();
        }
    }

    #[test]
    fn a_call_counts_once_and_only_if_its_submit_did() {
        let sender = Sender::new(7);
        let calls = Calls::new(sender);
        let start = Instant::now();
        calls.submitted(1, start, true);
        calls.submitted(2, start, false);
        for _ in 0..2 {
            calls.called(1, start + Duration::from_millis(3));
        }
        calls.called(2, start + Duration::from_millis(9));
        let latency = calls.latency();
        assert_eq!((latency.count(), latency.max()), (1, Duration::from_millis(3)));
    }
}
