//! What a router knows, for people to look at: the figures of every model that was called or heard of. Decides nothing.

use shared::domain::{ModelFigures, Timestamp};

use super::breaker::BreakerState;
use super::moment::Moment;
use super::plan::Router;
use super::table::Live;

impl Router {
    /// The figures of all models that were called here, or whose breaker is not closed; most calls first. `wall` is now
    /// by the time all workers share.
    #[must_use]
    pub fn figures(&self, now: Moment, wall: Timestamp) -> Vec<ModelFigures> {
        let known = self.known().all();
        let mut figures: Vec<ModelFigures> = known.iter().map(|live| figures_of(live, now, wall)).collect();
        figures.retain(|one| one.calls > 0 || one.in_flight > 0 || one.breaker != BreakerState::Closed);
        figures.sort_unstable_by(|one, other| {
            let names = |figures: &ModelFigures| (figures.provider.clone(), figures.model.clone());
            other
                .calls
                .cmp(&one.calls)
                .then_with(|| names(one).cmp(&names(other)))
        });
        figures
    }
}

fn figures_of(live: &Live, now: Moment, wall: Timestamp) -> ModelFigures {
    let reading = live.figures.read(now);
    let totals = live.figures.totals();
    let opens = live.breaker.opens_at(now);
    ModelFigures {
        provider: live.provider.as_ref().to_owned(),
        model: live.model.as_ref().to_owned(),
        calls: totals.calls,
        failures: totals.failures,
        first_token_ms: reading.first_token.map(|seconds| seconds * 1e3),
        tokens_per_second: reading.tokens_per_second(),
        error_rate: reading.error_rate,
        in_flight: reading.in_flight,
        headroom: reading.headroom,
        breaker: live.breaker.state(now),
        open_until: opens.map(|moment| wall.plus(moment.since(now))),
        cost_usd: totals.cost,
    }
}
