//! Chat: a model's answer, streamed into the journal. The way of an attempt: need ▸ choose ▸ call ▸ first token ▸ end;
//! a call that fails leads back to choosing while there is somebody left.
//!
//! What is in the log: `route.selected` for each call, `provider.failed` for each that failed. Nothing of a call that
//! failed before its first visible output is in the text. After it, the run's policy rules: `restart` rewinds inside the
//! attempt, `continue` goes on from what was said with a provider that can be given it (and rewinds where none can),
//! `fail` ends the run.
//!
//! Each call is accounted when it ends. A worker that is killed takes the records of its calls under way with it: nobody
//! else knows of them.

mod call;
mod fallback;
mod hedge;
mod spending;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::domain::chat::ChatSpec;
use shared::domain::{
    AttemptStarted, Event, FailureCode, Interruption, ProviderFailed, RequeueReason, RouteUnavailable,
    Timestamp, UsageReported,
};
use shared::ledger::Claimed;
use shared::telemetry::vocabulary;
use tokio::time::Instant;

use super::{Answered, Failed, Outcome, Tools};
use crate::journal::{Journal, JournalError};
use crate::providers::{ChatCall, ProviderError};
use crate::roster::Member;
use crate::routing::candidates::{PassedOver, Tried};
use crate::routing::need::Need;
use crate::routing::plan::{Choice, NoRoute, Remedy};
use call::{Call, Complete, Failure, Route};

/// Executes a chat run. Dropping it drops the provider's connection.
pub(crate) async fn execute(run: &Claimed, tools: &Tools, journal: &mut Journal) -> Outcome {
    let spec: ChatSpec = match serde_json::from_str(&run.spec) {
        Ok(spec) => spec,
        Err(error) => return Outcome::BadSpec(error),
    };
    let attempt = Attempt {
        need: Need::of(&spec, &run.task_type),
        run,
        spec: &spec,
        tools,
        journal,
        tried: Vec::new(),
        last: None,
        hope: false,
        welcome_at: None,
        beginning: None,
        began: Instant::now(),
    };
    attempt.carry_out().await.unwrap_or_else(Outcome::Lost)
}

/// One attempt at a run: everything between its claim and its end here.
struct Attempt<'a> {
    run: &'a Claimed,
    spec: &'a ChatSpec,
    tools: &'a Tools,
    journal: &'a mut Journal,
    need: Need,
    /// Who failed in this attempt: not asked again before the next.
    tried: Vec<Tried>,
    /// The last failure.
    last: Option<ProviderError>,
    /// Whether one of those who failed may do better later.
    hope: bool,
    /// When the first of those who failed wants to be asked again.
    welcome_at: Option<Instant>,
    /// What the next call goes on from.
    beginning: Option<Arc<str>>,
    began: Instant,
}

/// The call that a run asks for, of no model yet.
fn request<'a>(run: &'a Claimed, spec: &'a ChatSpec, beginning: Option<&'a str>) -> ChatCall<'a> {
    ChatCall {
        model: "",
        messages: &spec.messages,
        max_tokens: spec.max_tokens,
        model_max_output: None,
        beginning,
        temperature: spec.temperature,
        params: &spec.params,
        stream: spec.params.get("stream") != Some(&Value::Bool(false)),
        traceparent: run.trace_parent.as_deref(),
    }
}

impl Attempt<'_> {
    async fn carry_out(mut self) -> Result<Outcome, JournalError> {
        loop {
            let route = match self.choose()? {
                Ok(route) => route,
                Err(end) => return Ok(end),
            };
            let failure = match self.first_to_show(route).await? {
                Ok(call) => match self.read(call).await? {
                    Ok(complete) => return self.answered(complete).map(Outcome::Answered),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            let error = self.note(failure)?;
            let failed = self.run.retries.saturating_add(self.journal.accounts().failed());
            let (visible, policy) = (self.journal.visible(), self.run.on_interruption);
            if let Some(end) = fallback::is_the_end(&error, failed, visible, policy, &self.tools.config) {
                return Ok(Outcome::Failed(end));
            }
            self.beginning = self.said().filter(|_| policy == Interruption::Continue);
            self.last = Some(error);
        }
    }

    /// The next to be called, noted in the log; or how the attempt ends because there is nobody.
    fn choose(&mut self) -> Result<Result<Route, Outcome>, JournalError> {
        let router = self.tools.roster.router();
        let mut passed = self.tried.clone();
        let (choice, member) = loop {
            match router.choose(&self.need, &passed, router.now(), rand::random()) {
                Ok(choice) => match self.able(&choice) {
                    Some(member) => break (choice, member),
                    None => passed.push(tried(&choice)),
                },
                Err(_) if self.beginning.take().is_some() => passed.clone_from(&self.tried),
                Err(none) => return self.nobody(none).map(Err),
            }
        };
        if self.run.retries == 0 && self.journal.accounts().calls() == 0 {
            router.budget().call(router.now());
        } else if !router.budget().try_retry(router.now()) {
            return Ok(Err(self.too_many_retries()));
        }
        if let Some(error) = &self.last {
            count_fallback(error);
        }
        if self.journal.visible() && self.beginning.is_none() {
            let started = AttemptStarted {
                attempt: fallback::number_of(self.run.started.event().ok()),
                worker: self.tools.worker,
                void_after: None,
            };
            self.journal.rewind(started)?;
        }
        let (route, selected) = Route::new(choice, member);
        self.journal.event(Event::RouteSelected(selected))?;
        Ok(Ok(route))
    }

    /// The client for a choice; none when it went with a catalog, or cannot go on from a beginning that must be.
    fn able(&self, choice: &Choice) -> Option<Arc<Member>> {
        let member = self.tools.roster.member(&choice.provider.name)?;
        let able = self.beginning.is_none() || member.client.can_continue(&choice.model.name);
        able.then_some(member)
    }

    /// Notes a failure in the log, and that this one is not asked again.
    fn note(&mut self, failure: Failure) -> Result<ProviderError, JournalError> {
        let Failure {
            provider,
            model,
            error,
        } = failure;
        tracing::warn!(%error, code = error.code().as_str(), model = &*model, "provider call failed");
        self.hope |= error.retryable();
        if error.retryable() {
            let welcome = Instant::now() + error.retry_after().unwrap_or_default();
            self.welcome_at = Some(self.welcome_at.map_or(welcome, |known| known.min(welcome)));
        }
        self.tried.push(Tried {
            provider: provider.as_ref().to_owned(),
            model: model.as_ref().to_owned(),
        });
        self.journal.event(Event::ProviderFailed(ProviderFailed {
            provider: provider.as_ref().to_owned(),
            model: model.as_ref().to_owned(),
            code: error.code(),
            message: error.public_message(),
            retryable: error.retryable(),
        }))?;
        Ok(error)
    }

    /// Nobody can be called now.
    fn nobody(&self, none: NoRoute) -> Result<Outcome, JournalError> {
        if let Some(error) = &self.last {
            return Ok(if self.hope {
                self.later(error)
            } else {
                Outcome::Failed(fallback::because(error))
            });
        }
        let NoRoute { remedy, report } = none;
        let (why, report) = report.for_log();
        tracing::info!(why, "no route");
        let waits = matches!(remedy, Remedy::Wait(_));
        // Who is busy will have room by itself; who is ill may be so for long.
        let passed_over = |why: PassedOver| report.passed_over.contains_key(why.as_str());
        let busy = passed_over(PassedOver::RateLimited) || passed_over(PassedOver::Concurrency);
        let waits_until = (passed_over(PassedOver::BreakerOpen) && !busy).then(|| self.waits_until());
        let given_up = waits_until.is_some_and(|until| until <= self.tools.time.now());
        self.journal.event(Event::RouteUnavailable(RouteUnavailable {
            why: why.clone(),
            report,
        }))?;
        Ok(if waits && !given_up {
            let attempt = fallback::number_of(self.run.started.event().ok());
            let look = fallback::look_again(attempt, &self.tools.config);
            Outcome::Later {
                reason: RequeueReason::NoProvider,
                // Not all of those who wait for the same moment come at once: the longer they wait, the less so.
                wait: self.until_open() + look,
                waits_until,
            }
        } else {
            Outcome::Failed(Failed {
                code: FailureCode::NoProvider,
                message: why,
                retryable: waits,
            })
        })
    }

    /// Until when the run waits for providers that are ill: counted from the first look that found them so since its last
    /// call, over all attempts.
    fn waits_until(&self) -> Timestamp {
        let begun = self.run.waits_until;
        begun.unwrap_or_else(|| self.tools.time.after(self.tools.config.outage_wait))
    }

    /// Back to the queue after a failure: for the back-off, and as long as those who can be asked want to be left alone.
    fn later(&self, error: &ProviderError) -> Outcome {
        count_fallback(error);
        let failed = self.run.retries.saturating_add(self.journal.accounts().failed());
        let welcome = self
            .welcome_at
            .map(|at| at.saturating_duration_since(Instant::now()));
        let wait = fallback::back_off(failed, &self.tools.config)
            .max(welcome.unwrap_or_default())
            .max(self.until_open());
        Outcome::Later {
            reason: RequeueReason::ProviderFailed,
            wait,
            waits_until: None,
        }
    }

    /// The call that would be next is one too many for now.
    fn too_many_retries(&self) -> Outcome {
        match &self.last {
            Some(error) => self.later(error),
            None => {
                let attempt = fallback::number_of(self.run.started.event().ok());
                Outcome::Later {
                    reason: RequeueReason::RetryBudget,
                    wait: fallback::look_again(attempt, &self.tools.config),
                    // The budget fills again by itself: the run has its turn.
                    waits_until: None,
                }
            }
        }
    }

    /// How long it is until somebody can be asked, as far as anything tells.
    fn until_open(&self) -> Duration {
        let router = self.tools.roster.router();
        let now = router.now();
        let opens = router.opens_at(&self.need, now);
        opens.map(|moment| moment.since(now)).unwrap_or_default()
    }

    /// Reads an answer to its end into the journal.
    async fn read(&mut self, mut call: Call) -> Result<Result<Complete, Failure>, JournalError> {
        let first = !self.journal.visible();
        for delta in call.held() {
            self.journal.delta(delta).await?;
        }
        if first && self.journal.visible() {
            metrics::histogram!(vocabulary::FIRST_TOKEN_MS, "provider" => call.provider().to_string(),
                "model" => call.model().to_string())
            .record(self.began.elapsed().as_secs_f64() * 1e3);
        }
        loop {
            match call.next().await {
                Ok(Some(delta)) => self.journal.delta(delta).await?,
                Ok(None) => return Ok(Ok(call.complete())),
                Err(error) => return Ok(Err(call.interrupted(error))),
            }
        }
    }

    /// The text so far, if that is all there is: nobody can be told to go on from half a tool call.
    fn said(&self) -> Option<Arc<str>> {
        let answer = self.journal.answer();
        let only_text = answer.message.keys().all(|field| field == "role");
        (self.journal.visible() && only_text && !answer.text.is_empty()).then(|| answer.text.as_str().into())
    }

    fn answered(&self, complete: Complete) -> Result<Answered, JournalError> {
        let Complete {
            provider,
            model,
            finish_reason,
            metadata,
            usage,
            cost,
        } = complete;
        if let Some(usage) = &usage {
            for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
                metrics::counter!(vocabulary::TOKENS, "direction" => direction,
                    "provider" => provider.to_string(), "model" => model.to_string())
                .increment(tokens);
            }
            self.journal.event(Event::UsageReported(UsageReported {
                provider: provider.as_ref().to_owned(),
                model: model.as_ref().to_owned(),
                input_tokens: usage.input_tokens,
                output_tokens: usage.output_tokens,
                cost_usd: cost,
                raw: usage.raw.clone(),
            }))?;
        }
        Ok(Answered {
            provider: provider.as_ref().to_owned(),
            model: model.as_ref().to_owned(),
            finish_reason,
            metadata,
            usage: usage.map(|usage| usage.raw.to_string()),
            cost,
        })
    }
}

fn tried(choice: &Choice) -> Tried {
    Tried {
        provider: choice.provider.name.as_ref().to_owned(),
        model: choice.model.name.as_ref().to_owned(),
    }
}

/// A call that failed is followed by another one, now or later.
fn count_fallback(error: &ProviderError) {
    metrics::counter!(vocabulary::FALLBACK_COUNT, "provider" => error.provider().to_owned(),
        "code" => error.code().as_str())
    .increment(1);
}
