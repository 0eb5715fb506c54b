//! The router: chooses a provider and model for a run, hands out the right to call it, and explains the choice. Keeps
//! what is learned while catalogs come and go.
//!
//! Never waits and never calls. What it cannot choose it says, with the reason and, where waiting helps, until when.

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shared::catalog::{Catalog, LiveProvider, Model, Prices, Provider};
use shared::domain::Timestamp;

use super::breaker::{BreakerNews, BreakerSettings};
use super::candidates::{PassedOver, Sieve, Tried};
use super::choose::Drawn;
use super::draw::Draw;
use super::hedge::HedgeSettings;
use super::links::{Link, links};
use super::moment::{Moment, Monotonic};
use super::need::Need;
use super::pacing::Held;
use super::report::RouteReport;
use super::retry_budget::{BudgetSettings, RetryBudget};
use super::table::{Entry, Known, Table};
use super::tally::Tally;
use super::ticket::Ticket;

/// How a router works.
#[derive(Debug, Clone, Default)]
pub struct RouterSettings {
    /// When breakers open and close.
    pub breaker: BreakerSettings,
    /// How many retries are made.
    pub budget: BudgetSettings,
    /// Whether and when a second provider is asked.
    pub hedge: HedgeSettings,
    /// The name that `auto` stands for; none to choose by task type.
    pub auto: Option<String>,
    /// Tells this worker's news from others': random, unlike any other worker's.
    pub writer: u64,
}

/// Chooses providers and models.
#[derive(Debug)]
pub struct Router {
    settings: RouterSettings,
    known: Known,
    table: RwLock<Arc<Table>>,
    budget: RetryBudget,
    clock: Monotonic,
}

/// A provider and model for one call.
#[derive(Debug)]
pub struct Choice {
    /// Who is called.
    pub provider: Arc<Provider>,
    /// What is asked of it.
    pub model: Arc<Model>,
    /// The right to call it.
    pub ticket: Ticket,
    /// After so long without a first token a second one may be asked; none for never.
    pub hedge_after: Option<Duration>,
    /// Why this one.
    pub report: RouteReport,
}

impl Choice {
    /// What it charges; none when not known.
    #[must_use]
    pub fn prices(&self) -> Option<&Prices> {
        self.model
            .prices
            .as_ref()
            .or(self.provider.default_prices.as_ref())
    }
}

/// Nobody can take the run now.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .report.why)]
pub struct NoRoute {
    /// What helps.
    pub remedy: Remedy,
    /// Who was passed over, and why.
    pub report: Box<RouteReport>,
}

/// What helps a run that has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Another name: nobody answers to this one.
    AnotherModel,
    /// Another request, or another configuration: nobody who answers to the name could ever take this one.
    AnotherRequest,
    /// Time: until this moment, where it is known.
    Wait(Option<Moment>),
}

impl Router {
    /// A router over a catalog and the providers of it that can be called, in a fleet of so many workers.
    #[must_use]
    pub fn new(
        settings: RouterSettings,
        catalog: Arc<Catalog>,
        live: &[LiveProvider],
        workers: NonZeroU32,
    ) -> Self {
        let known = Known::new(settings.breaker, settings.writer);
        let table = Table::build(catalog, live, workers, &known);
        Self {
            budget: RetryBudget::new(settings.budget),
            settings,
            known,
            table: RwLock::new(Arc::new(table)),
            clock: Monotonic::start(),
        }
    }

    /// Goes on with another catalog, other live providers, or another number of workers.
    pub fn update(&self, catalog: Arc<Catalog>, live: &[LiveProvider], workers: NonZeroU32) {
        let table = Arc::new(Table::build(catalog, live, workers, &self.known));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    /// Now, on the router's clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The worker's retries: paid in with each run's first call, asked before each further one.
    #[must_use]
    pub const fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// Chooses for one call. `tried` is what failed in this run before; the same need, figures and seed give the same.
    ///
    /// # Errors
    /// When nobody can take it now.
    pub fn choose(&self, need: &Need, tried: &[Tried], now: Moment, seed: u64) -> Result<Choice, NoRoute> {
        let table = self.table();
        self.search(&table, need, tried, now, seed, |entry, now| {
            let slot = table.slot(entry).ok_or((PassedOver::NotConfigured, None))?;
            let pacing = slot.pacing.as_ref().ok_or((PassedOver::NotConfigured, None))?;
            let pass = entry
                .live
                .breaker
                .try_pass(now)
                .ok_or((PassedOver::BreakerOpen, None))?;
            let tokens = need.input_tokens.saturating_add(need.output_tokens);
            // Refused by the pace, the pass is dropped and its place free again.
            let admission = pacing.try_admit(tokens, now).map_err(|held| match held {
                Held::Concurrency => (PassedOver::Concurrency, None),
                Held::RateLimited(until) => (PassedOver::RateLimited, Some(until)),
            })?;
            let ticket = Ticket::new(Arc::clone(&entry.live), pass, admission, now);
            Ok((Arc::clone(&slot.provider), ticket))
        })
        .map(|(entry, (provider, ticket), report)| Choice {
            provider,
            model: entry.model,
            ticket,
            hedge_after: entry.hedge_after,
            report,
        })
    }

    /// Chooses a second one while the first has not answered; none when nobody can, or when the retry budget is spent.
    pub fn hedge(&self, need: &Need, tried: &[Tried], now: Moment, seed: u64) -> Option<Choice> {
        let choice = self.choose(need, tried, now, seed).ok()?;
        self.budget.try_retry(now).then_some(choice)
    }

    /// What would be chosen now, and why; nothing is taken.
    #[must_use]
    pub fn explain(&self, need: &Need, now: Moment) -> RouteReport {
        let table = self.table();
        match self.search(&table, need, &[], now, 0, |_, _| Ok(())) {
            Ok((_, (), report)) => report,
            Err(none) => *none.report,
        }
    }

    /// From when somebody could take this need, as far as anything tells; none when only another need helps, or when
    /// nothing tells. Takes nothing.
    #[must_use]
    pub fn opens_at(&self, need: &Need, now: Moment) -> Option<Moment> {
        let table = self.table();
        match self.search(&table, need, &[], now, 0, |_, _| Ok(())) {
            Ok(_) => Some(now),
            Err(NoRoute {
                remedy: Remedy::Wait(until),
                ..
            }) => until,
            Err(_) => None,
        }
    }

    /// The last change of every breaker that ever changed, for the other workers. `wall` is now by the time all workers
    /// share.
    #[must_use]
    pub fn news(&self, now: Moment, wall: Timestamp) -> Vec<BreakerNews> {
        let all = self.known.all();
        let news = |live: &Arc<super::table::Live>| live.breaker.news(&live.provider, &live.model, now, wall);
        all.iter().filter_map(news).collect()
    }

    /// The last change of one breaker; none when it never changed.
    #[must_use]
    pub fn news_of(&self, provider: &str, model: &str, now: Moment, wall: Timestamp) -> Option<BreakerNews> {
        let live = self.known.find(provider, model)?;
        live.breaker.news(provider, model, now, wall)
    }

    /// Hears what another worker learned; says whether it was new. News of what is not known here are passed by.
    pub fn hear(&self, news: &BreakerNews, now: Moment, wall: Timestamp) -> bool {
        let live = self.known.find(&news.provider, &news.model);
        live.is_some_and(|live| live.breaker.hear(news, now, wall))
    }

    /// How many models' figures are kept.
    #[must_use]
    pub fn known_models(&self) -> usize {
        self.known.all().len()
    }

    /// What outlives catalogs.
    pub(super) const fn known(&self) -> &Known {
        &self.known
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn search<T>(
        &self,
        table: &Table,
        need: &Need,
        tried: &[Tried],
        now: Moment,
        seed: u64,
        take: impl Fn(&Entry, Moment) -> Result<T, (PassedOver, Option<Moment>)>,
    ) -> Result<(Taken, T, RouteReport), NoRoute> {
        let mut draw = Draw::seeded(seed);
        let links = links(&table.catalog, need, self.settings.auto.as_deref(), &mut draw);
        let unlisted: Vec<Vec<Entry>> = links.iter().map(|link| self.unlisted(table, *link)).collect();
        let sieve = Sieve::new(table, need, tried, now);
        let mut tally = Tally::default();
        for (link, unlisted) in links.iter().zip(&unlisted) {
            let auto = *link == Link::Auto;
            let listed = match *link {
                Link::Auto => table.auto(&need.task_type),
                Link::Name(name) => table.catalog.positions(name),
            };
            let listed = listed
                .iter()
                .filter_map(|&position| table.entries.get(position as usize));
            tally.weigh(table, &sieve, listed.chain(unlisted), auto);
            while let Some((entry, drawn)) = tally.draw(&mut draw) {
                match take(entry, now) {
                    Ok(taken) => {
                        let why = why(need, drawn, tally.able());
                        let chosen = Taken {
                            model: Arc::clone(&entry.model),
                            hedge_after: self.settings.hedge.after(&entry.live.figures),
                        };
                        let report = report(need, Some((*link, drawn)), why, &tally, table, &sieve);
                        return Ok((chosen, taken, report));
                    }
                    Err((why, until)) => tally.remove(drawn.position, why, until, &sieve),
                }
            }
        }
        let remedy = remedy(&tally);
        let why = why_not(need, remedy, &tally);
        let report = Box::new(report(need, None, why, &tally, table, &sieve));
        Err(NoRoute { remedy, report })
    }

    fn unlisted(&self, table: &Table, link: Link<'_>) -> Vec<Entry> {
        match link {
            Link::Auto => Vec::new(),
            Link::Name(name) => table.unlisted(name, &self.known),
        }
    }
}

struct Taken {
    model: Arc<Model>,
    hedge_after: Option<Duration>,
}

fn remedy(tally: &Tally<'_>) -> Remedy {
    if tally.counts().is_empty() {
        Remedy::AnotherModel
    } else if tally.counts().iter().any(|(why, _)| why.passes()) {
        Remedy::Wait(tally.reopens())
    } else {
        Remedy::AnotherRequest
    }
}

fn why(need: &Need, drawn: Drawn, of: usize) -> String {
    let policy = need.policy;
    match (of, drawn.near) {
        (1, _) => "the only candidate that can take it".to_owned(),
        (of, 1) => format!("the best of {of} by policy {policy}"),
        (of, near) => format!("one of {near} nearly as good as the best of {of} by policy {policy}"),
    }
}

fn why_not(need: &Need, remedy: Remedy, tally: &Tally<'_>) -> String {
    let mut counts = tally.counts().to_vec();
    counts.sort_unstable_by(|(one, a), (other, b)| b.cmp(a).then(one.cmp(other)));
    let reasons = counts
        .iter()
        .map(|(why, count)| format!("{count} {}", why.as_str()));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let model = &need.model;
    match remedy {
        Remedy::AnotherModel => format!("no provider here offers a model named `{model}`"),
        Remedy::AnotherRequest => format!("no provider of `{model}` can take this request: {reasons}"),
        Remedy::Wait(_) => format!("no provider of `{model}` can take this request now: {reasons}"),
    }
}

fn report(
    need: &Need,
    chosen: Option<(Link<'_>, Drawn)>,
    why: String,
    tally: &Tally<'_>,
    table: &Table,
    sieve: &Sieve<'_>,
) -> RouteReport {
    let resolved = chosen
        .map(|(link, _)| link.name())
        .filter(|name| *name != need.model);
    let (candidates, more) = tally.listed(chosen.map(|(_, drawn)| drawn.position), table, sieve);
    let mut passed_over = std::collections::BTreeMap::new();
    for (why, count) in tally.counts() {
        *passed_over.entry(why.as_str()).or_insert(0) += count;
    }
    RouteReport {
        asked: need.model.clone(),
        resolved: resolved.map(str::to_owned),
        policy: need.policy,
        why,
        candidates,
        more,
        passed_over,
    }
}
