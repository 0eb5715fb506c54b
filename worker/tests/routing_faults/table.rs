//! The table: one row per fault of a provider. The provider is the first of a chain whose second is well; it is asked by
//! five runs, one after the other, which is as many as its breaker needs to judge.

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;
use shared::config::ProviderTimeouts;
use shared::domain::{BreakerState, CallOutcome, Event, EventType, FailureCode, Interruption, Status};
use std::time::Duration;

use crate::stage::{File, Setup, Stage, simulator, text};

/// What a watcher of the first run has seen at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// The second provider's answer, and nothing of the first.
    TheOther,
    /// So many tokens of the first provider, then that they are void, then the second's answer.
    ARewind(u32),
    /// That the run failed.
    TheEnd,
    /// The first provider's answer.
    TheAnswer,
}

/// What the first provider's breaker does after five runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaker {
    /// It opens at the fifth; the sixth run does not reach the provider.
    Opens,
    /// It stays closed, all five having reached the provider.
    Stays,
    /// It stays closed, but only the first run reached the provider: it wants to be left alone.
    Rests,
}

/// Which limit of time a row is about; all others are longer than any test.
#[derive(Debug, Clone, Copy)]
enum Limit {
    None,
    FirstToken,
    BetweenTokens,
    Total,
}

#[derive(Clone, Copy)]
struct Row {
    fault: &'static str,
    whole: bool,
    sees: Sees,
    /// In `provider.failed` and in the call's account.
    code: Option<FailureCode>,
    breaker: Breaker,
    limit: Limit,
}

const fn row(fault: &'static str, sees: Sees, code: Option<FailureCode>, breaker: Breaker) -> Row {
    Row {
        fault,
        whole: false,
        sees,
        code,
        breaker,
        limit: Limit::None,
    }
}

const fn whole(row: Row) -> Row {
    Row { whole: true, ..row }
}

const fn late(limit: Limit, row: Row) -> Row {
    Row { limit, ..row }
}

/// Fails before anything is seen, and that is held against the provider.
const fn ill(fault: &'static str, code: FailureCode) -> Row {
    row(fault, Sees::TheOther, Some(code), Breaker::Opens)
}

/// Fails in sight.
const fn breaks(fault: &'static str, tokens: u32, code: FailureCode) -> Row {
    row(fault, Sees::ARewind(tokens), Some(code), Breaker::Opens)
}

/// Refuses what nobody would take.
const fn refused(fault: &'static str) -> Row {
    row(
        fault,
        Sees::TheEnd,
        Some(FailureCode::ProviderRejected),
        Breaker::Stays,
    )
}

/// Answers in spite of it.
const fn answers(fault: &'static str) -> Row {
    row(fault, Sees::TheAnswer, None, Breaker::Stays)
}

/// A provider that is not there at all: the closed port is the stage's business.
const NOBODY: &str = "nobody";

#[rustfmt::skip]
const ROWS: &[Row] = {
    use Breaker::{Rests, Stays};
    use FailureCode::{
        AnswerTooLarge, ProviderEmptyAnswer, ProviderInterrupted, ProviderMalformed, ProviderRateLimited,
        ProviderRejected, ProviderServerError, ProviderTimeout, ProviderUnauthorized, ProviderUnreachable,
    };
    use Sees::{TheEnd, TheOther};
    &[
    // No connection.
    ill(NOBODY, ProviderUnreachable),
    // A status says whose fault it is: the request's, ours, or the provider's.
    refused("fault=400"),
    refused("fault=409"),
    refused("fault=422"),
    row("fault=404", TheOther, Some(ProviderRejected), Stays),
    row("fault=413", TheOther, Some(ProviderRejected), Stays),
    row("fault=401", TheOther, Some(ProviderUnauthorized), Stays),
    row("fault=403", TheOther, Some(ProviderUnauthorized), Stays),
    row("fault=429,retry_after=600", TheOther, Some(ProviderRateLimited), Rests),
    row("fault=429,retry_after=date:600", TheOther, Some(ProviderRateLimited), Rests),
    row("fault=503,retry_after=600", TheOther, Some(ProviderServerError), Rests),
    ill("fault=408", ProviderServerError),
    ill("fault=500", ProviderServerError),
    ill("fault=502", ProviderServerError),
    ill("fault=503", ProviderServerError),
    ill("fault=504", ProviderServerError),
    ill("fault=529", ProviderServerError),
    // No answer, or none that is the protocol.
    ill("fault=html", ProviderServerError),
    ill("fault=html200", ProviderMalformed),
    ill("fault=wrong_type", ProviderMalformed),
    ill("fault=refuse", ProviderInterrupted),
    ill("fault=empty", ProviderEmptyAnswer),
    // An answer that breaks off: before it is seen, and after.
    ill("fault=reset", ProviderInterrupted),
    ill("fault=cut", ProviderInterrupted),
    ill("fault=cut_dirty", ProviderInterrupted),
    ill("fault=error_event", ProviderServerError),
    breaks("fault=cut,after=2", 2, ProviderInterrupted),
    breaks("fault=cut,after=4", 4, ProviderInterrupted),
    breaks("fault=cut_dirty,after=2", 2, ProviderInterrupted),
    breaks("fault=error_event,after=2", 2, ProviderServerError),
    breaks("fault=no_finish", 4, ProviderInterrupted),
    // An answer that is damaged.
    ill("fault=malformed", ProviderMalformed),
    breaks("fault=malformed,after=2", 2, ProviderMalformed),
    breaks("fault=bad_utf8,after=2", 2, ProviderMalformed),
    row("fault=giant_line,after=2", TheEnd, Some(AnswerTooLarge), Stays),
    // Silence.
    late(Limit::FirstToken, ill("fault=stall_headers", ProviderTimeout)),
    late(Limit::FirstToken, ill("fault=stall", ProviderTimeout)),
    late(Limit::BetweenTokens, breaks("fault=stall,after=2", 2, ProviderTimeout)),
    late(Limit::Total, breaks("fault=stall,after=3", 3, ProviderTimeout)),
    // Poor manners.
    answers("fault=no_usage"),
    answers("fault=duplicate_usage"),
    answers("unknown=1"),
    // Whole answers: nothing of them is seen before their end.
    whole(ill("fault=500", ProviderServerError)),
    whole(ill("fault=html200", ProviderMalformed)),
    whole(ill("fault=cut,after=2", ProviderInterrupted)),
    whole(ill("fault=no_finish", ProviderInterrupted)),
    whole(ill("fault=empty", ProviderEmptyAnswer)),
    whole(late(Limit::Total, ill("fault=stall,after=2", ProviderTimeout))),
    whole(answers("fault=no_usage")),
    ]
};

impl Row {
    fn timeouts(&self) -> ProviderTimeouts {
        let long = Duration::from_secs(600);
        let short = Duration::from_millis(800);
        let mut timeouts = ProviderTimeouts {
            connect: long,
            first_token: long,
            between_tokens: long,
            total: long,
        };
        match self.limit {
            Limit::None => {}
            Limit::FirstToken => timeouts.first_token = short,
            Limit::BetweenTokens => timeouts.between_tokens = short,
            Limit::Total => timeouts.total = short,
        }
        timeouts
    }

    fn story(&self, usage: bool) -> Vec<&'static str> {
        let mut story = vec!["run.queued", "attempt.started", "route.selected"];
        let end = |story: &mut Vec<&'static str>, usage: bool| {
            story.push("output.delta");
            story.extend(usage.then_some("usage.reported"));
            story.push("run.succeeded");
        };
        match self.sees {
            Sees::TheOther => {
                story.extend(["provider.failed", "route.selected"]);
                end(&mut story, true);
            }
            Sees::ARewind(_) => {
                story.extend([
                    "output.delta",
                    "provider.failed",
                    "attempt.started",
                    "route.selected",
                ]);
                end(&mut story, true);
            }
            Sees::TheEnd => {
                story.extend(self.fault.contains("after=").then_some("output.delta"));
                story.extend(["provider.failed", "run.failed"]);
            }
            Sees::TheAnswer => end(&mut story, usage),
        }
        story
    }

    async fn play(&self) {
        let what = format!("{}{}", self.fault, if self.whole { ", whole" } else { "" });
        let (first, second) = (simulator().await, simulator().await);
        let first_url = if self.fault == NOBODY {
            "http://127.0.0.1:9/v1".to_owned()
        } else {
            first.base_url()
        };
        let file = File::default()
            .provider("bad", &first_url)
            .provider("good", &second.base_url())
            .model(
                "bad",
                &format!("sim-fast:tokens=4,{}", script(self.fault)),
                "first",
            )
            .model("good", "sim-fast:tokens=4", "second")
            .chain();
        let mut setup = Setup::new(&file);
        setup.routing.timeouts = self.timeouts();
        let stage = Stage::with(setup).await;
        let params = if self.whole {
            json!({"stream": false})
        } else {
            json!({})
        };

        let run = stage.submit(Interruption::Restart, params.clone()).await;
        let told = stage.told(run).await;
        let usage = !self.fault.contains("no_usage");
        assert_eq!(told.story(), self.story(usage), "{what}");
        if self.sees == Sees::TheEnd {
            let failure = told.result.result.failure.as_ref().expect("a failure");
            assert_eq!(
                (Some(failure.code), failure.retryable),
                (self.code, false),
                "{what}"
            );
        } else {
            assert_eq!(told.result.result.status, Status::Succeeded, "{what}");
            assert_eq!(told.text(), text(4), "{what}");
        }
        if let Sees::ARewind(tokens) = self.sees {
            let rewind = told
                .entries
                .iter()
                .rposition(|entry| entry.kind == EventType::AttemptStarted);
            let rewind = rewind.expect("a rewind");
            assert_eq!(
                told.transcript(&told.entries[..rewind]).answer().text,
                text(tokens),
                "{what}"
            );
            assert_eq!(
                told.transcript(&told.entries[..=rewind]).answer().text,
                "",
                "{what}"
            );
            assert!(
                told.entries.iter().all(|entry| entry.cursor.epoch <= 1),
                "{what}: inside the attempt"
            );
        }
        for failed in told.events(EventType::ProviderFailed) {
            let Event::ProviderFailed(failed) = failed else {
                unreachable!()
            };
            assert_eq!(
                (&*failed.provider, Some(failed.code)),
                ("bad", self.code),
                "{what}"
            );
        }
        let accounted: Vec<_> = told
            .calls
            .iter()
            .map(|one| (one.call.outcome, one.call.error))
            .collect();
        let broken = match self.sees {
            Sees::ARewind(_) => CallOutcome::Interrupted,
            Sees::TheEnd if self.fault.contains("after=") => CallOutcome::Interrupted,
            _ => CallOutcome::Failed,
        };
        let well = (CallOutcome::Succeeded, None);
        let expected = match self.sees {
            Sees::TheAnswer => vec![well],
            Sees::TheEnd => vec![(broken, self.code)],
            Sees::TheOther | Sees::ARewind(_) => vec![(broken, self.code), well],
        };
        assert_eq!(accounted, expected, "{what}");

        for _ in 1..5 {
            let run = stage.submit(Interruption::Restart, params.clone()).await;
            stage.told(run).await;
        }
        let figures = stage.working.figures("bad");
        let state = figures.map_or(BreakerState::Closed, |figures| figures.breaker);
        let reached = first.stats().requests;
        match self.breaker {
            Breaker::Opens => {
                assert_eq!(state, BreakerState::Open, "{what}");
                let run = stage.submit(Interruption::Restart, params).await;
                let told = stage.told(run).await;
                assert_eq!(told.routes(), ["good"], "{what}");
                assert_eq!(
                    first.stats().requests,
                    reached,
                    "{what}: no request reaches an open breaker's provider"
                );
            }
            Breaker::Stays => assert_eq!((state, reached), (BreakerState::Closed, 5), "{what}"),
            Breaker::Rests => assert_eq!((state, reached), (BreakerState::Closed, 1), "{what}"),
        }
        soon_idle(&second).await;
        stage.close().await;
    }
}

fn script(fault: &'static str) -> &'static str {
    if fault == NOBODY { "seed=1" } else { fault }
}

async fn soon_idle(simulator: &simulator::Simulator) {
    crate::stage::soon("no open call", simulator.wait_for(|stats| stats.open == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_survived_logged_judged_and_accounted() {
    assert!(ROWS.len() >= 30);
    stream::iter(ROWS).for_each_concurrent(4, Row::play).await;
}
