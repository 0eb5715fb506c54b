//! The way of one claimed run, top to bottom: execute ▸ decide ▸ settle. Whatever happens inside, it ends in exactly one
//! closing commit, or in none because the run is somebody else's.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::clock;
use shared::dispatch::{Hint, Offer};
use shared::domain::{
    Answer, Event, FailureCode, Interruption, Kind, RequeueReason, RunCancelled, RunFailed, RunRequeued,
    RunSucceeded, Status, Timestamp,
};
use shared::ledger::{Claimed, Failure, RunResult, Then};
use shared::telemetry::vocabulary;
use tracing::Instrument as _;

use crate::journal::{Journal, JournalError, Journals};
use crate::kinds::{self, Answered, Failed, Outcome, Tools};
use crate::running::{Entered, Stop};

/// What every run of this worker shares.
pub(crate) struct Pipeline {
    pub(crate) journals: Journals,
    pub(crate) tools: Tools,
    /// Hears of what goes back to the queue.
    pub(crate) offer: Arc<dyn Offer>,
}

/// How a run's time with this worker ended.
enum End {
    Executed(Outcome),
    Stopped(Stop),
    DeadlinePassed,
    Panicked,
}

/// The closing commit.
struct Closing {
    event: Event,
    then: Then,
    /// How long it is not to be claimed, if it goes back to the queue.
    delay: Duration,
}

/// What became of the closing commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// The run went back to the queue, unless somebody had asked to cancel it.
    Queued,
    /// It ended, or it is not this worker's to say.
    Elsewhere,
}

impl Pipeline {
    /// Carries a claimed run to its end here.
    pub(crate) async fn run(&self, run: Claimed, entered: Entered) {
        let trace = run.trace_parent.as_deref().unwrap_or_default();
        let span = tracing::info_span!("run", run = %run.id, epoch = run.epoch, worker = %self.tools.worker,
            tenant = %run.tenant, traceparent = trace);
        async {
            let mut journal = self.journals.open(run.held(), run.simulated);
            let end = self.execute(&run, &entered, &mut journal).await;
            let Some(closing) = self.decide(&run, &journal, end) else {
                return;
            };
            let delay = closing.delay;
            if settle(&run, &journal, closing).await == Settled::Queued {
                self.offer.offer(&[requeued(&run, delay)]).await;
            }
        }
        .instrument(span)
        .await;
    }

    /// Executes until it is done, told to stop, or out of time. What loses is dropped, and with it the provider call.
    async fn execute(&self, run: &Claimed, entered: &Entered, journal: &mut Journal) -> End {
        let executing = async {
            fail::fail_point!("worker::execute");
            match run.kind {
                Kind::Chat => kinds::chat::execute(run, &self.tools, journal).await,
            }
        };
        tokio::select! {
            biased;
            stop = entered.line.stopped() => End::Stopped(stop),
            () = deadline(run.deadline) => End::DeadlinePassed,
            // A panic must not leave the run held by nobody.
            outcome = AssertUnwindSafe(executing).catch_unwind() => outcome.map_or(End::Panicked, End::Executed),
        }
    }

    /// What the end means for the run; none when it is not ours to say.
    fn decide(&self, run: &Claimed, journal: &Journal, end: End) -> Option<Closing> {
        match end {
            End::Executed(Outcome::Answered(answered)) => Some(succeed(journal, answered)),
            End::Executed(Outcome::Failed(Failed {
                code,
                message,
                retryable,
            })) => Some(fail(journal, code, message, retryable)),
            End::Executed(Outcome::Later {
                reason,
                wait,
                waits_until,
            }) => Some(self.requeue(journal, reason, wait, waits_until)),
            End::Executed(Outcome::BadSpec(error)) => {
                tracing::error!(%error, "the run's specification cannot be read");
                Some(fail(
                    journal,
                    FailureCode::Internal,
                    "the run's specification cannot be read".to_owned(),
                    false,
                ))
            }
            End::Executed(Outcome::Lost(JournalError::Refused)) => Some(fail(
                journal,
                FailureCode::Internal,
                "the answer cannot be stored".to_owned(),
                false,
            )),
            End::Panicked => {
                tracing::error!("the executor panicked");
                Some(fail(
                    journal,
                    FailureCode::Internal,
                    "an internal error; the log has more".to_owned(),
                    true,
                ))
            }
            End::DeadlinePassed => {
                let message = "its deadline passed while it was running".to_owned();
                Some(fail(journal, FailureCode::DeadlineExceeded, message, false))
            }
            End::Stopped(Stop::Cancelled { by }) => Some(cancel(journal, by)),
            End::Stopped(Stop::Released) => Some(self.release(run, journal)),
            End::Executed(Outcome::Lost(JournalError::Fenced)) | End::Stopped(Stop::Lost) => None,
        }
    }

    /// Gives the run back, unless its readers could not take back what they saw.
    fn release(&self, run: &Claimed, journal: &Journal) -> Closing {
        if journal.visible() && run.on_interruption == Interruption::Fail {
            let message = "the worker was shut down in the middle of the answer".to_owned();
            return fail(journal, FailureCode::Interrupted, message, true);
        }
        self.requeue(journal, RequeueReason::Released, Duration::ZERO, None)
    }

    fn requeue(
        &self,
        journal: &Journal,
        reason: RequeueReason,
        wait: Duration,
        waits_until: Option<Timestamp>,
    ) -> Closing {
        metrics::counter!(vocabulary::REQUEUED_COUNT, "reason" => reason.as_str()).increment(1);
        let not_before = self.tools.time.after(wait);
        let event = Event::RunRequeued(RunRequeued { reason, not_before });
        Closing {
            event,
            then: Then::Requeue {
                reason,
                not_before,
                failed_calls: journal.accounts().failed(),
                waits_until,
            },
            delay: wait,
        }
    }
}

async fn deadline(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

fn succeed(journal: &Journal, answered: Answered) -> Closing {
    let answer = Answer {
        provider_metadata: answered.metadata.clone(),
        ..journal.answer().clone()
    };
    let event = Event::RunSucceeded(RunSucceeded {
        finish_reason: answered.finish_reason.clone(),
        provider_metadata: answered.metadata,
    });
    let result = RunResult {
        status: Status::Succeeded,
        answer: as_text(&answer),
        finish_reason: Some(answered.finish_reason),
        provider: Some(answered.provider),
        model: Some(answered.model),
        usage: answered.usage,
        cost: answered.cost,
        failure: None,
    };
    Closing {
        event,
        then: Then::Settle(Box::new(result)),
        delay: Duration::ZERO,
    }
}

fn fail(journal: &Journal, code: FailureCode, message: String, retryable: bool) -> Closing {
    let failure = Failure {
        code,
        message: message.clone(),
        retryable,
    };
    let result = RunResult {
        answer: partial(journal),
        ..RunResult::without_answer(Status::Failed, Some(failure))
    };
    let event = Event::RunFailed(RunFailed {
        code,
        message,
        retryable,
    });
    Closing {
        event,
        then: Then::Settle(Box::new(result)),
        delay: Duration::ZERO,
    }
}

fn cancel(journal: &Journal, by: String) -> Closing {
    let result = RunResult {
        answer: partial(journal),
        ..RunResult::without_answer(Status::Cancelled, None)
    };
    Closing {
        event: Event::RunCancelled(RunCancelled { by }),
        then: Then::Settle(Box::new(result)),
        delay: Duration::ZERO,
    }
}

/// An answer as the ledger keeps it. Strings and JSON values always serialise.
fn as_text(answer: &Answer) -> Option<String> {
    serde_json::to_string(answer).ok()
}

/// What there is of an answer that was not completed.
fn partial(journal: &Journal) -> Option<String> {
    if journal.visible() {
        as_text(journal.answer())
    } else {
        None
    }
}

/// That a run which this worker gives back can be claimed again: in the epoch that the ledger mints with it.
fn requeued(run: &Claimed, delay: Duration) -> Hint {
    Hint {
        run: run.id,
        epoch: run.epoch + 1,
        tenant: run.tenant.clone(),
        class: run.class,
        delay,
    }
}

/// Commits the end. A refused one is tried once more without the content, so that the run does not hang.
async fn settle(run: &Claimed, journal: &Journal, closing: Closing) -> Settled {
    let status = match &closing.then {
        Then::Settle(result) => Some(result.status),
        Then::Requeue { .. } | Then::Continue => None,
    };
    let closed = match journal.close(closing.event, closing.then).await {
        Err(JournalError::Refused) => {
            tracing::error!("the ledger refused the run's end; failing it without its content");
            let failure = Failure {
                code: FailureCode::Internal,
                message: "the answer cannot be stored".to_owned(),
                retryable: false,
            };
            let event = Event::RunFailed(RunFailed {
                code: failure.code,
                message: failure.message.clone(),
                retryable: failure.retryable,
            });
            let result = RunResult::without_answer(Status::Failed, Some(failure));
            journal
                .close(event, Then::Settle(Box::new(result)))
                .await
                .map(|()| Some(Status::Failed))
        }
        Err(error) => Err(error),
        Ok(()) => Ok(status),
    };
    match closed {
        Ok(Some(status)) => {
            count(run, status);
            tracing::info!(status = status.as_str(), "run ended");
            Settled::Elsewhere
        }
        Ok(None) => {
            tracing::info!("run given back to the queue");
            Settled::Queued
        }
        Err(error) => {
            tracing::warn!(%error, "the run's end is not this worker's to write");
            Settled::Elsewhere
        }
    }
}

fn count(run: &Claimed, status: Status) {
    let labels = [
        ("status", status.as_str().to_owned()),
        ("kind", run.kind.as_str().to_owned()),
        ("task_type", vocabulary::task_type(&run.task_type).to_owned()),
        ("class", run.class.as_str().to_owned()),
        ("simulated", run.simulated.to_string()),
    ];
    metrics::counter!(vocabulary::REQUEST_COUNT, &labels).increment(1);
    let latency = clock::now().since(run.created_at);
    metrics::histogram!(vocabulary::REQUEST_LATENCY_MS, &labels).record(latency.as_secs_f64() * 1e3);
}
