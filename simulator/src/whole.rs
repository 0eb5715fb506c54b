//! A whole answer: one JSON object after all of its tokens would have been sent; and the ways in which a body ends.
//!
//! Must never answer sooner than the same answer would have been streamed.

use std::{convert::Infallible, future::pending};

use axum::{
    body::Body,
    http::header::{CONTENT_LENGTH, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use crate::{
    encode::{Carrier, Identity, completion, push_json_string},
    faults::Fault,
    plan::{Pieces, Plan},
    refusal::error_in_answer,
    stats::{Outcome, Ticket},
    wire::Line,
};

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As HTTP says.
    Clean,
    /// By closing the connection in the middle.
    Close,
    /// By resetting the connection.
    Reset,
    /// Never.
    Stall,
}

impl Ending {
    /// The ending of a fault that breaks an answer off.
    pub(crate) fn of(fault: Fault) -> Option<Self> {
        match fault {
            Fault::Cut => Some(Self::Clean),
            Fault::CutDirty => Some(Self::Close),
            Fault::Reset => Some(Self::Reset),
            Fault::Stall => Some(Self::Stall),
            _ => None,
        }
    }

    /// Lets it happen. Returns only from a clean ending.
    pub(crate) async fn come(self, line: &Line, ticket: &mut Ticket) {
        match self {
            // Whoever comes here with an unsettled ticket was cut; an answer settles it with its last bytes.
            Self::Clean => return ticket.settle(Outcome::Faulted),
            // The client's leaving will be this request's outcome.
            Self::Stall => return pending().await,
            Self::Close | Self::Reset => {}
        }
        // The HTTP server writes out what it holds when a body is not ready; what it still held would be lost.
        yield_now().await;
        ticket.settle(Outcome::Faulted);
        if self == Self::Reset {
            line.reset();
        } else {
            line.close();
        }
        pending::<()>().await;
    }
}

/// Everything a whole answer needs.
#[derive(Debug)]
pub(crate) struct WholeAnswer<'a> {
    pub(crate) plan: Plan,
    pub(crate) pieces: Pieces,
    pub(crate) identity: Identity<'a>,
    pub(crate) carrier: Carrier,
    pub(crate) started: Instant,
    pub(crate) line: Line,
    pub(crate) ticket: Ticket,
}

impl WholeAnswer<'_> {
    /// The response, when it is due.
    pub(crate) async fn into_response(mut self) -> Response {
        let fault = self.plan.fault;
        let ending = fault.and_then(Ending::of);
        let due = if ending.is_some() || fault == Some(Fault::ErrorEvent) {
            self.plan.after
        } else {
            self.plan.tokens
        };
        sleep_until(self.plan.due(self.started, due)).await;
        let json = match fault {
            Some(Fault::ErrorEvent) => error_in_answer().into(),
            _ => self.json(),
        };
        if let Some(ending) = ending {
            return self.broken_off(&json, ending);
        }
        self.ticket.sent(u64::from(self.plan.tokens));
        self.ticket.settle(if fault.is_some() {
            Outcome::Faulted
        } else {
            Outcome::Completed
        });
        let json = if fault == Some(Fault::Malformed) {
            json.slice(..json.len() / 2)
        } else {
            json
        };
        let content_type = if fault == Some(Fault::WrongType) {
            "text/event-stream"
        } else {
            "application/json"
        };
        ([(CONTENT_TYPE, content_type)], json).into_response()
    }

    fn json(&mut self) -> Bytes {
        let mut text = String::new();
        for _ in 0..self.plan.tokens {
            self.pieces.push_next(&mut text);
        }
        if self.plan.fault == Some(Fault::GiantLine) {
            text = "x".repeat(self.plan.size);
        }
        let mut content = BytesMut::new();
        push_json_string(&mut content, &text);
        if self.plan.fault == Some(Fault::BadUtf8) {
            content.truncate(content.len() - 1);
            content.extend_from_slice(b"\xff\xfe\"");
        }
        let finish = (self.plan.fault != Some(Fault::NoFinish)).then_some(self.plan.finish);
        let usage = (self.plan.fault != Some(Fault::NoUsage)).then_some(self.plan.usage);
        completion(&self.identity, &self.carrier, &content, finish, usage).into()
    }

    /// Half of the answer, then the ending. All but a clean ending break the promise of the content length.
    fn broken_off(self, json: &Bytes, ending: Ending) -> Response {
        let half = json.slice(..json.len() / 2);
        let (line, ticket) = (self.line, self.ticket);
        let body = stream::unfold(
            (Some(half), line, ticket),
            move |(half, line, mut ticket)| async move {
                if let Some(half) = half {
                    return Some((Ok::<_, Infallible>(half), (None, line, ticket)));
                }
                ending.come(&line, &mut ticket).await;
                None
            },
        );
        let mut response = ([(CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response();
        if ending != Ending::Clean {
            response.headers_mut().insert(CONTENT_LENGTH, json.len().into());
        }
        response
    }
}
