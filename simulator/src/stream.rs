//! A streamed answer: one SSE event per token, on schedule, with the scripted faults at their places.
//!
//! Pulled by the HTTP server, so nothing is produced before the client has room for it. Must never run ahead of the
//! connection or hold anything that grows with the length of the answer.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use crate::{
    encode::ChunkWriter,
    faults::Fault,
    plan::{Pieces, Plan},
    refusal::error_in_answer,
    stats::{Outcome, Ticket},
    whole::Ending,
    wire::Line,
};

const FILLER: Bytes = Bytes::from_static(&[b'x'; 64 * 1024]);

/// Everything a streamed answer needs.
#[derive(Debug)]
pub(crate) struct StreamedAnswer {
    pub(crate) plan: Plan,
    pub(crate) pieces: Pieces,
    pub(crate) writer: ChunkWriter,
    pub(crate) started: Instant,
    pub(crate) line: Line,
    pub(crate) ticket: Ticket,
}

/// Where a stream is. `Filling` is in the middle of a giant line.
#[derive(Debug)]
enum Step {
    Role,
    Content,
    Filling { left: usize, end: Bytes },
    Usage { again: bool },
    Done,
    Over(Ending),
}

#[derive(Debug)]
struct Progress {
    answer: StreamedAnswer,
    step: Step,
    /// Tokens handed over.
    sent: u32,
    /// Whether the scripted fault is still to come.
    fault_ahead: bool,
    piece: String,
}

impl StreamedAnswer {
    /// The response: its head at once, the rest as it falls due.
    pub(crate) fn into_response(mut self) -> Response {
        self.ticket.streams();
        let content_type = match self.plan.fault {
            Some(Fault::WrongType) => "application/json",
            _ => "text/event-stream; charset=utf-8",
        };
        let progress = Progress {
            answer: self,
            step: Step::Role,
            sent: 0,
            fault_ahead: true,
            piece: String::new(),
        };
        let body = Body::from_stream(stream::unfold(progress, |mut progress| async move {
            let bytes = progress.next().await?;
            Some((Ok::<_, Infallible>(bytes), progress))
        }));
        ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")], body).into_response()
    }
}

impl Progress {
    /// The next bytes, when they are due; `None` when the body ends cleanly.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.step {
                Step::Role | Step::Content => {
                    self.wait().await;
                    if let Some(bytes) = self.fault_here().or_else(|| self.advance()) {
                        return Some(bytes);
                    }
                }
                Step::Filling { left, end } => {
                    let bytes = if *left > 0 {
                        let filler = FILLER.slice(..FILLER.len().min(*left));
                        *left -= filler.len();
                        filler
                    } else {
                        let end = std::mem::take(end);
                        self.step = if self.sent == 0 { Step::Role } else { Step::Content };
                        end
                    };
                    return Some(bytes);
                }
                Step::Usage { again } => {
                    self.step = if *again {
                        Step::Usage { again: false }
                    } else {
                        Step::Done
                    };
                    return Some(self.answer.writer.usage(self.answer.plan.usage));
                }
                Step::Done => {
                    self.step = Step::Over(Ending::Clean);
                    let faulted = self.answer.plan.fault.is_some();
                    self.answer.ticket.settle(if faulted {
                        Outcome::Faulted
                    } else {
                        Outcome::Completed
                    });
                    return Some(Bytes::from_static(b"data: [DONE]\n\n"));
                }
                Step::Over(ending) => {
                    ending.come(&self.answer.line, &mut self.answer.ticket).await;
                    return None;
                }
            }
        }
    }

    /// Until the next token is due. Does not give way when it is due already: the HTTP server does, by itself.
    async fn wait(&self) {
        let due = self.answer.plan.due(self.answer.started, self.sent);
        if due > Instant::now() {
            sleep_until(due).await;
        }
    }

    /// What comes next in a good answer.
    fn advance(&mut self) -> Option<Bytes> {
        match self.step {
            Step::Role => {
                self.step = Step::Content;
                Some(self.answer.writer.role())
            }
            Step::Content if self.sent < self.answer.plan.tokens => Some(self.token()),
            Step::Content => self.finish(),
            // The fault of this place has ended the answer.
            _ => None,
        }
    }

    fn token(&mut self) -> Bytes {
        self.sent += 1;
        self.answer.ticket.sent(1);
        self.piece.clear();
        self.answer.pieces.push_next(&mut self.piece);
        self.answer.writer.token(&self.piece)
    }

    /// Lets the fault of this place happen. Returns what it sends; breaking off is left in `step`.
    fn fault_here(&mut self) -> Option<Bytes> {
        if !self.fault_ahead || self.sent != self.answer.plan.after {
            return None;
        }
        self.fault_ahead = false;
        let fault = self.answer.plan.fault?;
        if let Some(ending) = Ending::of(fault) {
            self.step = Step::Over(ending);
            return None;
        }
        match fault {
            Fault::ErrorEvent => {
                self.step = Step::Over(Ending::Clean);
                self.answer.ticket.settle(Outcome::Faulted);
                Some(format!("data: {}\n\n", error_in_answer()).into())
            }
            Fault::Malformed => Some(self.answer.writer.malformed()),
            Fault::BadUtf8 => Some(self.answer.writer.bad_utf8()),
            Fault::GiantLine => {
                let (head, end) = self.answer.writer.split_token();
                let left = self.answer.plan.size.saturating_sub(head.len() + end.len());
                self.step = Step::Filling { left, end };
                Some(head)
            }
            _ => None,
        }
    }

    /// Moves on from the content, with the chunk that says why it ended.
    fn finish(&mut self) -> Option<Bytes> {
        let plan = &self.answer.plan;
        self.step = if plan.include_usage {
            Step::Usage {
                again: plan.fault == Some(Fault::DuplicateUsage),
            }
        } else {
            Step::Done
        };
        let finish = plan.finish;
        (plan.fault != Some(Fault::NoFinish)).then(|| self.answer.writer.finish(finish))
    }
}
