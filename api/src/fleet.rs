//! What the workers last saw of their providers, each by itself and all together. Read from the ledger when somebody asks,
//! and never kept.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::domain::{BreakerState, LiveFigures, ModelFigures, Timestamp, Usd};
use shared::ledger::{LedgerError, Reader, WorkerReport};
use utoipa::ToSchema;

/// The providers as the fleet sees them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FleetView {
    /// Providers that some worker can call, sorted by name.
    providers: Vec<ProviderView>,
    /// What all workers together saw of each model, most calls first.
    models: Vec<ModelView>,
    /// What each worker saw, oldest worker first.
    workers: Vec<WorkerView>,
}

/// A provider that can be called.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ProviderView {
    /// Its name.
    #[schema(example = "openai")]
    provider: String,
    /// How many keys take turns; 0 where it needs none. Of all workers together: the most that one has.
    keys: u32,
    /// Whether it runs beside the workers.
    local: bool,
    /// Whether it is the simulator.
    simulated: bool,
    /// How many workers can call it.
    workers: u32,
}

/// What was seen of a model at a provider. What is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct ModelView {
    /// The provider's name.
    #[schema(example = "openai")]
    provider: String,
    /// The provider's name of the model.
    #[schema(example = "gpt-4o-mini")]
    model: String,
    /// Calls that ended, since the worker began.
    calls: u64,
    /// Of these: failed by the provider's fault.
    failures: u64,
    /// Milliseconds to the first token.
    first_token_ms: Option<f32>,
    /// Tokens per second after it.
    tokens_per_second: Option<f32>,
    /// Share of calls that fail, 0 to 1.
    error_rate: f32,
    /// Calls that run now.
    in_flight: u32,
    /// What is left of the rate limit, 0 to 1; of several workers the least.
    headroom: f32,
    /// `closed`, `open` or `half_open`; of several workers the worst.
    #[schema(value_type = String, example = "closed")]
    breaker: BreakerState,
    /// Until when no call may go; null while calls may.
    #[schema(value_type = Option<String>, format = DateTime)]
    open_until: Option<Timestamp>,
    /// US dollars that its calls cost, as far as that is known.
    #[schema(value_type = f64)]
    cost_usd: Usd,
}

/// What one worker saw.
#[derive(Debug, Serialize, ToSchema)]
struct WorkerView {
    /// The incarnation.
    #[schema(example = "wrk_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")]
    id: String,
    /// For people: host and process.
    name: String,
    /// When it said so.
    #[schema(value_type = String, format = DateTime)]
    reported_at: Timestamp,
    /// Providers it can call.
    providers: Vec<ProviderView>,
    /// What it saw of each model.
    models: Vec<ModelView>,
    /// Models that found no room in its report.
    more: u32,
}

impl FleetView {
    /// Reads what the living workers reported.
    ///
    /// # Errors
    /// When the ledger is away.
    pub(crate) async fn read(reader: &Reader) -> Result<Self, LedgerError> {
        Ok(Self::of(reader.reports().await?))
    }

    fn of(reports: Vec<WorkerReport>) -> Self {
        let workers: Vec<WorkerView> = reports.into_iter().map(WorkerView::from).collect();
        let mut providers: BTreeMap<String, ProviderView> = BTreeMap::new();
        let mut models: BTreeMap<(String, String), ModelView> = BTreeMap::new();
        for worker in &workers {
            for seen in &worker.providers {
                providers
                    .entry(seen.provider.clone())
                    .and_modify(|known| known.join(seen))
                    .or_insert_with(|| seen.clone());
            }
            for seen in &worker.models {
                models
                    .entry((seen.provider.clone(), seen.model.clone()))
                    .and_modify(|known| known.join(seen))
                    .or_insert_with(|| seen.clone());
            }
        }
        let mut models: Vec<ModelView> = models.into_values().collect();
        // Stable: those with as many calls stay sorted by name.
        models.sort_by_key(|model| std::cmp::Reverse(model.calls));
        Self {
            providers: providers.into_values().collect(),
            models,
            workers,
        }
    }
}

impl ProviderView {
    fn join(&mut self, other: &Self) {
        self.keys = self.keys.max(other.keys);
        self.workers += other.workers;
    }
}

impl ModelView {
    /// Numbers of calls are added; speeds and rates are weighed by them, so that a worker that has hardly called says
    /// hardly anything.
    fn join(&mut self, other: &Self) {
        let weights = (self.calls, other.calls);
        self.first_token_ms = weighed(self.first_token_ms, other.first_token_ms, weights);
        self.tokens_per_second = weighed(self.tokens_per_second, other.tokens_per_second, weights);
        self.error_rate = mean(self.error_rate, other.error_rate, weights);
        self.calls += other.calls;
        self.failures += other.failures;
        self.in_flight += other.in_flight;
        self.headroom = self.headroom.min(other.headroom);
        self.breaker = worse(self.breaker, other.breaker);
        self.open_until = self.open_until.max(other.open_until);
        self.cost_usd = Usd::from_nanos(self.cost_usd.nanos().saturating_add(other.cost_usd.nanos()));
    }
}

fn weighed(one: Option<f32>, other: Option<f32>, weights: (u64, u64)) -> Option<f32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(mean(one, other, weights)),
        (known, None) | (None, known) => known,
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
fn mean(one: f32, other: f32, (calls, others): (u64, u64)) -> f32 {
    let (calls, others) = ((calls as f32).max(1.0), (others as f32).max(1.0));
    (one * calls + other * others) / (calls + others)
}

fn worse(one: BreakerState, other: BreakerState) -> BreakerState {
    let rank = |state| match state {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    };
    if rank(other) > rank(one) { other } else { one }
}

impl From<WorkerReport> for WorkerView {
    fn from(said: WorkerReport) -> Self {
        Self {
            id: said.worker.to_string(),
            name: said.name,
            reported_at: said.at,
            providers: said
                .report
                .providers
                .into_iter()
                .map(ProviderView::from)
                .collect(),
            models: said.report.models.into_iter().map(ModelView::from).collect(),
            more: said.report.more,
        }
    }
}

impl From<LiveFigures> for ProviderView {
    fn from(live: LiveFigures) -> Self {
        Self {
            provider: live.provider,
            keys: live.keys,
            local: live.local,
            simulated: live.simulated,
            workers: 1,
        }
    }
}

impl From<ModelFigures> for ModelView {
    fn from(figures: ModelFigures) -> Self {
        Self {
            provider: figures.provider,
            model: figures.model,
            calls: figures.calls,
            failures: figures.failures,
            first_token_ms: figures.first_token_ms,
            tokens_per_second: figures.tokens_per_second,
            error_rate: figures.error_rate,
            in_flight: figures.in_flight,
            headroom: figures.headroom,
            breaker: figures.breaker,
            open_until: figures.open_until,
            cost_usd: figures.cost_usd,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::{FiguresReport, WorkerId};

    use super::*;

    fn seen(calls: u64, first_token_ms: Option<f32>, breaker: BreakerState) -> ModelFigures {
        ModelFigures {
            provider: "openai".to_owned(),
            model: "gpt".to_owned(),
            calls,
            failures: 1,
            first_token_ms,
            tokens_per_second: None,
            error_rate: 0.0,
            in_flight: 2,
            headroom: 1.0 / (calls + 1) as f32,
            breaker,
            open_until: None,
            cost_usd: Usd::from_nanos(5),
        }
    }

    fn report(keys: u32, models: Vec<ModelFigures>) -> WorkerReport {
        let live = LiveFigures {
            provider: "openai".to_owned(),
            keys,
            local: false,
            simulated: false,
        };
        WorkerReport {
            worker: WorkerId::new(),
            name: "host:1".to_owned(),
            at: Timestamp::from_millis(7),
            report: FiguresReport {
                providers: vec![live],
                models,
                more: 0,
            },
        }
    }

    #[test]
    fn all_together_is_weighed_by_calls_and_the_worst_breaker_counts() {
        let view = FleetView::of(vec![
            report(1, vec![seen(1, Some(100.0), BreakerState::Closed)]),
            report(2, vec![seen(3, Some(200.0), BreakerState::Open)]),
            report(0, vec![seen(0, None, BreakerState::HalfOpen)]),
        ]);
        assert_eq!(view.workers.len(), 3);
        let [provider] = view.providers.as_slice() else {
            panic!("{view:?}")
        };
        assert_eq!((provider.keys, provider.workers), (2, 3));
        let [model] = view.models.as_slice() else {
            panic!("{view:?}")
        };
        assert_eq!((model.calls, model.failures, model.in_flight), (4, 3, 6));
        assert_eq!(model.first_token_ms, Some(175.0));
        assert_eq!(model.tokens_per_second, None);
        assert_eq!(model.headroom, 0.25);
        assert_eq!(model.breaker, BreakerState::Open);
        assert_eq!(model.cost_usd, Usd::from_nanos(15));
    }
}
