//! Who of the candidates can take a run now, and why the others are passed over. What will not change is looked at
//! first, so that a reason is the most lasting one.

use super::figures::Reading;
use super::moment::Moment;
use super::need::Need;
use super::pacing::Held;
use super::policy::Policy;
use super::score::{self, Merits};
use super::table::{Entry, Rates, Table};

/// Why a candidate is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassedOver {
    /// Its provider has no key or address here.
    NotConfigured,
    /// It cannot do what the run needs: `capability:tools`.
    Capability(&'static str),
    /// It cannot take an essential parameter: `param:logprobs`.
    Param(&'static str),
    /// It is meant for other task types, and `auto` was asked for.
    TaskType,
    /// The prompt, and the answer asked for, do not fit.
    ContextWindow,
    /// A shorter answer than asked for is its longest.
    MaxOutput,
    /// It failed in this run before.
    ExcludedAfterFailure,
    /// Its breaker is open, or its probes are out.
    BreakerOpen,
    /// Its provider's keys have to wait.
    RateLimited,
    /// As many calls of its provider run as may.
    Concurrency,
}

impl PassedOver {
    /// Its name in events and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Capability(name) | Self::Param(name) => name,
            Self::TaskType => "task_type",
            Self::ContextWindow => "context_window",
            Self::MaxOutput => "max_output",
            Self::ExcludedAfterFailure => "excluded_after_failure",
            Self::BreakerOpen => "breaker_open",
            Self::RateLimited => "rate_limited",
            Self::Concurrency => "concurrency",
        }
    }

    /// Whether it is over by itself after a while.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(
            self,
            Self::BreakerOpen | Self::RateLimited | Self::Concurrency | Self::ExcludedAfterFailure
        )
    }
}

/// A model at a provider that was called in this run and failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The provider's name.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
}

/// How things stand with one provider during one choice: looked at once, not once for each of its models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gate {
    closed: Option<PassedOver>,
    pub(super) reopens: Option<Moment>,
    used: f32,
    hinted: bool,
}

/// The sieve of one choice.
pub(super) struct Sieve<'a> {
    pub(super) need: &'a Need,
    pub(super) excluded: &'a [Tried],
    pub(super) now: Moment,
    pub(super) gates: Vec<Gate>,
    prefers_local: bool,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(table: &Table, need: &'a Need, excluded: &'a [Tried], now: Moment) -> Self {
        let gate = |slot: &super::table::Slot| {
            let (closed, reopens, used) = match &slot.pacing {
                None => (Some(PassedOver::NotConfigured), None, 0.0),
                Some(pacing) => {
                    let (closed, reopens) = match pacing.held(now) {
                        None => (None, None),
                        Some(Held::Concurrency) => (Some(PassedOver::Concurrency), None),
                        Some(Held::RateLimited(until)) => (Some(PassedOver::RateLimited), Some(until)),
                    };
                    (closed, reopens, pacing.used())
                }
            };
            Gate {
                closed,
                reopens,
                used,
                hinted: need.provider_hint.as_deref() == Some(&*slot.provider.name),
            }
        };
        Self {
            need,
            excluded,
            now,
            gates: table.providers.iter().map(gate).collect(),
            prefers_local: need.prefer_local || need.policy == Policy::LocalFirst,
        }
    }

    /// The gate of a candidate that can take the run, or why it is passed over.
    #[inline]
    pub(super) fn try_entry(&self, table: &Table, entry: &Entry, auto: bool) -> Result<&Gate, PassedOver> {
        let need = self.need;
        let (Some(gate), Some(slot)) = (
            self.gates.get(entry.provider),
            table.providers.get(entry.provider),
        ) else {
            return Err(PassedOver::NotConfigured);
        };
        if gate.closed == Some(PassedOver::NotConfigured) {
            return Err(PassedOver::NotConfigured);
        }
        if let Some(lacking) = entry.abilities.lacks(need.abilities) {
            return Err(PassedOver::Capability(lacking));
        }
        if let Some(refused) = slot.refuses.clashes(need.params) {
            return Err(PassedOver::Param(refused));
        }
        if auto && !entry.model.task_types.is_empty() && !entry.model.task_types.contains(&need.task_type) {
            return Err(PassedOver::TaskType);
        }
        if need.input_tokens.saturating_add(need.max_tokens.unwrap_or(1)) > entry.context_window {
            return Err(PassedOver::ContextWindow);
        }
        if need.max_tokens.is_some_and(|asked| asked > entry.max_output) {
            return Err(PassedOver::MaxOutput);
        }
        let failed =
            |tried: &Tried| tried.model == *entry.model.name && tried.provider == *entry.model.provider;
        if self.excluded.iter().any(failed) {
            return Err(PassedOver::ExcludedAfterFailure);
        }
        if !entry.live.breaker.lets_go(self.now) {
            return Err(PassedOver::BreakerOpen);
        }
        if let Some(closed) = gate.closed {
            return Err(closed);
        }
        Ok(gate)
    }

    /// What a candidate brings along, whether or not it can take the run.
    #[inline]
    pub(super) fn merits(&self, entry: &Entry, gate: &Gate) -> Merits {
        let reading: Reading = entry.live.figures.read(self.now);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a score needs no more than seven digits"
        )]
        let (input, output) = (self.need.input_tokens as f32, self.need.output_tokens as f32);
        let rates = match (entry.rates, &entry.model.prices) {
            (Rates::Tiered, Some(prices)) => Rates::flat(prices.rates(u64::from(self.need.input_tokens))),
            (rates, _) => rates,
        };
        let cost = match rates {
            Rates::Flat {
                input: each_in,
                output: each_out,
            } => Some(input * each_in + output * each_out),
            Rates::Unknown | Rates::Tiered => entry.local.then_some(0.0),
        };
        Merits {
            time: score::expected_time(&reading, output, gate.used),
            cost,
            tier: entry.tier,
            reading,
            preferred: u8::from(gate.hinted) + u8::from(entry.local && self.prefers_local),
        }
    }

    /// The merits of a candidate that is passed over, for the report.
    pub(super) fn merits_of(&self, entry: &Entry) -> Option<Merits> {
        self.gates
            .get(entry.provider)
            .map(|gate| self.merits(entry, gate))
    }
}
