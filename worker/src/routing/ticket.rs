//! The right to make one call, and the duty to say how it went: what is learned from it reaches the figures, the breaker
//! and the pace at once. Dropped without a word, it counts as a call that nobody waited for.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::Usd;

use super::breaker::{BreakerState, Pass};
use super::moment::Moment;
use super::pacing::Admission;
use super::table::Live;
use super::verdict::Verdict;
use crate::providers::{Allowance, Headroom};

/// A limit whose reset the provider does not name is asked about again after this.
const RESET_UNKNOWN: Duration = Duration::from_secs(60);

/// The right to make one call.
#[derive(Debug)]
#[must_use = "a ticket that is dropped has made no call"]
pub struct Ticket {
    live: Arc<Live>,
    /// Both are there until the end.
    rights: Option<(Pass, Admission)>,
    key: usize,
    began: Moment,
    first_token: Option<Moment>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallEnd {
    /// What it says about the provider.
    pub verdict: Verdict,
    /// Tokens that were generated, where that is known.
    pub output_tokens: Option<u64>,
    /// What it cost, where that is known.
    pub cost: Option<Usd>,
}

impl CallEnd {
    /// A call of which nothing is known but this.
    #[must_use]
    pub const fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            output_tokens: None,
            cost: None,
        }
    }
}

impl Ticket {
    pub(super) fn new(live: Arc<Live>, pass: Pass, admission: Admission, now: Moment) -> Self {
        live.figures.began();
        Self {
            live,
            key: admission.key(),
            rights: Some((pass, admission)),
            began: now,
            first_token: None,
        }
    }

    /// Which of the provider's keys to use, counted from 0.
    #[must_use]
    pub const fn key(&self) -> usize {
        self.key
    }

    /// The first visible output came.
    pub fn first_token(&mut self, now: Moment) {
        if self.first_token.is_none() {
            self.first_token = Some(now);
            self.live.figures.first_token(now.since(self.began), now);
        }
    }

    /// The provider said what is left of its limits. A key that has nothing left rests until it has again.
    pub fn headroom(&self, headroom: &Headroom, now: Moment) {
        let Headroom {
            requests,
            tokens,
            input_tokens,
            output_tokens,
        } = headroom;
        let left = [requests, tokens, input_tokens, output_tokens].map(|allowance| left(allowance, now));
        let tightest = left.into_iter().flatten().min_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((left, until)) = tightest {
            self.live.figures.headroom(left, until);
        }
        if requests.remaining == Some(0)
            && let (Some(reset), Some((_, admission))) = (requests.reset, &self.rights)
        {
            admission.exhausted(now.plus(reset));
        }
    }

    /// The call ended. Gives the breaker's new state when it changed: that is news for the other workers.
    pub fn end(mut self, end: &CallEnd, now: Moment) -> Option<BreakerState> {
        let figures = &self.live.figures;
        match end.verdict {
            // The others are preferred from now on; the breaker stays as it is, for the provider is well.
            Verdict::KeyRefused => figures.ended(false, now),
            verdict => {
                if let Some(well) = verdict.for_breaker() {
                    figures.ended(well, now);
                }
            }
        }
        if let (Verdict::Well, Some(tokens), Some(first)) = (end.verdict, end.output_tokens, self.first_token)
        {
            figures.streamed(tokens.saturating_sub(1), now.since(first), now);
        }
        if let Some(cost) = end.cost {
            figures.spent(cost);
        }
        let (pass, admission) = self.rights.take()?;
        admission.end(end.verdict, now);
        pass.end(end.verdict.for_breaker(), now)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.live.figures.over();
    }
}

/// What is left of one limit, 0 to 1, and when it is whole again; none when the provider does not say.
#[expect(clippy::cast_precision_loss, reason = "a ratio; seven digits are plenty")]
fn left(allowance: &Allowance, now: Moment) -> Option<(f32, Moment)> {
    let (limit, remaining) = (allowance.limit?, allowance.remaining?);
    (limit > 0).then(|| {
        let until = now.plus(allowance.reset.unwrap_or(RESET_UNKNOWN));
        (remaining as f32 / limit as f32, until)
    })
}
