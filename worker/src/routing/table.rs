//! Who there is to choose from: the catalog, laid out for choosing. Built when the catalog or the live providers change
//! and never changed after; what is learned of a model and a provider lives on in the next table.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::catalog::{Catalog, Limits, LiveProvider, Model, Prices, Provider, Quality};

use super::breaker::{Breaker, BreakerSettings};
use super::figures::Figures;
use super::need::{Abilities, Params};
use super::pacing::Pacing;
use super::task::Demand;

/// Models that no catalog lists, of which figures are kept each for itself. Names come from clients: without a bound they
/// would fill the memory.
const UNLISTED_KEPT: usize = 1_024;

/// What is learned of one model at one provider. What a choice looks at begins a line of the cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Live {
    pub(super) breaker: Arc<Breaker>,
    pub(super) figures: Figures,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
}

/// One model at one provider, with what a choice compares in reach.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) model: Arc<Model>,
    /// Position of its provider in [`Table::providers`].
    pub(super) provider: usize,
    pub(super) live: Arc<Live>,
    pub(super) context_window: u32,
    pub(super) max_output: u32,
    pub(super) abilities: Abilities,
    /// 1 to 5; 0 when not known.
    pub(super) tier: u8,
    pub(super) local: bool,
    pub(super) rates: Rates,
}

/// Dollars per token, for scores; bills are reckoned exactly, elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rates {
    Unknown,
    Flat {
        input: f32,
        output: f32,
    },
    /// They depend on the length of the prompt: see the model.
    Tiered,
}

/// A provider of the table.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) provider: Arc<Provider>,
    /// None when it cannot be called: no key, no address.
    pub(super) pacing: Option<Arc<Pacing>>,
    pub(super) refuses: Params,
}

/// All candidates there are.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) catalog: Arc<Catalog>,
    /// In the order of the catalog's models.
    pub(super) entries: Vec<Entry>,
    pub(super) providers: Vec<Slot>,
    provider_index: HashMap<Arc<str>, usize>,
    /// Positions of what `auto` may pick: live, and good enough.
    auto: HashMap<Demand, Vec<u32>>,
    /// Whether a live provider takes models that nobody lists.
    open: bool,
}

/// What outlives a table.
#[derive(Debug)]
pub(super) struct Known {
    breaker: BreakerSettings,
    writer: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lives: HashMap<(Arc<str>, Arc<str>), Arc<Live>>,
    unlisted: HashMap<(Arc<str>, Arc<str>), Arc<Live>>,
    paces: HashMap<Arc<str>, (Pace, Arc<Pacing>)>,
    made: u64,
}

/// What a provider's pacing was made from: as long as it stays, so does the pacing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    limits: Limits,
    keys: usize,
    workers: NonZeroU32,
}

impl Known {
    pub(super) fn new(breaker: BreakerSettings, writer: u64) -> Self {
        Self {
            breaker,
            writer,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, inner: &mut Inner, provider: &Arc<str>, model: &Arc<str>) -> Arc<Live> {
        inner.made += 1;
        let seed = self.writer.wrapping_add(inner.made);
        Arc::new(Live {
            provider: Arc::clone(provider),
            model: Arc::clone(model),
            figures: Figures::default(),
            breaker: Arc::new(Breaker::new(self.breaker, self.writer, seed)),
        })
    }

    fn live(&self, model: &Model) -> Arc<Live> {
        let mut inner = self.inner();
        let key = (Arc::clone(&model.provider), Arc::clone(&model.name));
        if let Some(live) = inner.lives.get(&key) {
            return Arc::clone(live);
        }
        // A name that was asked for before the catalog learned it takes its figures along.
        let live = match inner.unlisted.remove(&key) {
            Some(live) => live,
            None => self.make(&mut inner, &key.0, &key.1),
        };
        inner.lives.insert(key, Arc::clone(&live));
        live
    }

    /// Figures of a model that the catalog does not list. When there are too many of them, the rest of a provider's
    /// share theirs.
    fn unlisted(&self, model: &Model) -> Arc<Live> {
        let mut inner = self.inner();
        let mut key = (Arc::clone(&model.provider), Arc::clone(&model.name));
        if let Some(live) = inner.unlisted.get(&key) {
            return Arc::clone(live);
        }
        if inner.unlisted.len() >= UNLISTED_KEPT {
            key.1 = Arc::from("");
            if let Some(live) = inner.unlisted.get(&key) {
                return Arc::clone(live);
            }
        }
        let live = self.make(&mut inner, &key.0, &key.1);
        inner.unlisted.insert(key, Arc::clone(&live));
        live
    }

    fn pacing(&self, name: &Arc<str>, pace: Pace) -> Arc<Pacing> {
        let mut inner = self.inner();
        if let Some((before, pacing)) = inner.paces.get(name)
            && *before == pace
        {
            return Arc::clone(pacing);
        }
        let pacing = Arc::new(Pacing::new(pace.limits, pace.keys, pace.workers));
        inner.paces.insert(Arc::clone(name), (pace, Arc::clone(&pacing)));
        pacing
    }

    /// What is known of a model at a provider; none when it was never in a table nor asked for.
    pub(super) fn find(&self, provider: &str, model: &str) -> Option<Arc<Live>> {
        let key = (Arc::from(provider), Arc::from(model));
        let inner = self.inner();
        inner
            .lives
            .get(&key)
            .or_else(|| inner.unlisted.get(&key))
            .cloned()
    }

    /// All that is known.
    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        let inner = self.inner();
        inner
            .lives
            .values()
            .chain(inner.unlisted.values())
            .cloned()
            .collect()
    }
}

impl Table {
    pub(super) fn build(
        catalog: Arc<Catalog>,
        live: &[LiveProvider],
        workers: NonZeroU32,
        known: &Known,
    ) -> Self {
        let mut provider_index = HashMap::new();
        let mut providers = Vec::with_capacity(catalog.providers().len());
        for (position, provider) in catalog.providers().iter().enumerate() {
            let lively = live.iter().find(|live| live.provider.name == provider.name);
            let pacing = lively.map(|live| {
                let pace = Pace {
                    limits: provider.limits,
                    keys: live.key_count(),
                    workers,
                };
                known.pacing(&provider.name, pace)
            });
            provider_index.insert(Arc::clone(&provider.name), position);
            providers.push(Slot {
                provider: Arc::clone(provider),
                pacing,
                refuses: Params::named(provider.quirks.dropped_params.iter().map(String::as_str)),
            });
        }
        // The catalog knows the provider of each of its models; one without would be called by nobody.
        let entries: Vec<Entry> = catalog
            .models()
            .iter()
            .map(|model| {
                let provider = provider_index.get(&model.provider).copied();
                let provider = provider.unwrap_or(usize::MAX);
                Entry::new(
                    Arc::clone(model),
                    provider,
                    providers.get(provider),
                    known.live(model),
                )
            })
            .collect();
        let mut table = Self {
            catalog,
            entries,
            open: providers
                .iter()
                .any(|slot| slot.pacing.is_some() && slot.provider.unlisted_models),
            providers,
            provider_index,
            auto: HashMap::new(),
        };
        table.auto = Demand::ALL
            .map(|demand| (demand, table.good_enough(demand)))
            .into();
        table
    }

    /// Positions of live chat models that meet a demand; of all live ones when none does.
    fn good_enough(&self, demand: Demand) -> Vec<u32> {
        let chats = (0_u32..).zip(&self.entries).filter(|(_, entry)| {
            let live = self.slot(entry).is_some_and(|slot| slot.pacing.is_some());
            live && entry.abilities.lacks(Abilities::CHAT).is_none()
        });
        let chats: Vec<(u32, &Entry)> = chats.collect();
        let meets = |(_, entry): &&(u32, &Entry)| demand.met_by(entry.model.quality);
        let good: Vec<u32> = chats
            .iter()
            .filter(meets)
            .map(|(position, _)| *position)
            .collect();
        if good.is_empty() {
            chats.iter().map(|(position, _)| *position).collect()
        } else {
            good
        }
    }

    pub(super) fn slot(&self, entry: &Entry) -> Option<&Slot> {
        self.providers.get(entry.provider)
    }

    /// Positions of what `auto` may pick for this task type.
    pub(super) fn auto(&self, task_type: &str) -> &[u32] {
        self.auto.get(&Demand::of(task_type)).map_or(&[], Vec::as_slice)
    }

    /// Candidates of this name that the catalog does not list, at providers that take any name. Where nobody at all
    /// lists the name, also at a provider that the name itself names.
    pub(super) fn unlisted(&self, name: &str, known: &Known) -> Vec<Entry> {
        let listed = self.catalog.positions(name);
        if !listed.is_empty() && !self.open {
            return Vec::new();
        }
        let lists = |provider: &str| {
            let mut entries = listed
                .iter()
                .filter_map(|&position| self.entries.get(position as usize));
            entries.any(|entry| &*entry.model.provider == provider)
        };
        let unlisted = self.catalog.unlisted(name).into_iter();
        unlisted
            .filter(|model| !lists(&model.provider))
            .filter_map(|model| {
                let provider = *self.provider_index.get(&model.provider)?;
                let slot = self.providers.get(provider)?;
                // Where nothing can be called nothing is learned either.
                let live = slot.pacing.as_ref().map(|_| known.unlisted(&model))?;
                Some(Entry::new(model, provider, Some(slot), live))
            })
            .collect()
    }
}

impl Entry {
    fn new(model: Arc<Model>, provider: usize, slot: Option<&Slot>, live: Arc<Live>) -> Self {
        let fallback = slot.and_then(|slot| slot.provider.default_prices.as_ref());
        let prices = model.prices.as_ref().or(fallback);
        Self {
            provider,
            live,
            context_window: model.context_window.unwrap_or(u32::MAX),
            max_output: model.max_output.unwrap_or(u32::MAX),
            abilities: Abilities::of(model.capabilities),
            tier: model.quality.map_or(0, Quality::tier),
            local: slot.is_some_and(|slot| slot.provider.local),
            rates: Rates::of(prices),
            model,
        }
    }

    /// What it charges: its own prices, or its provider's for all.
    pub(super) fn prices<'a>(&'a self, slot: &'a Slot) -> Option<&'a Prices> {
        self.model
            .prices
            .as_ref()
            .or(slot.provider.default_prices.as_ref())
    }
}

impl Rates {
    fn of(prices: Option<&Prices>) -> Self {
        match prices {
            None => Self::Unknown,
            Some(prices) if prices.tiers.is_empty() => Self::flat(&prices.base),
            Some(_) => Self::Tiered,
        }
    }

    pub(super) fn flat(rates: &shared::catalog::Rates) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a score needs no more than seven digits"
        )]
        let per_token = |per_million: shared::domain::Usd| (per_million.dollars() / 1e6) as f32;
        Self::Flat {
            input: per_token(rates.input),
            output: per_token(rates.output),
        }
    }
}
