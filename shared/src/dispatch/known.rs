//! What this very process has offered and nobody has claimed yet: enough to propose from without asking the ledger, while
//! it is known to be all there is.
//!
//! It is complete from when the ledger's queue was seen empty, until something queued may have escaped it. Whoever
//! proposes from it still looks into the ledger now and then, for what others queued and what has become due.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::Hint;
use crate::domain::{Class, RunId, TenantId};

/// Hints that are kept. With more than this waiting, the ledger is asked.
const MOST: usize = 16_384;

/// A tenant's runs in the order they were offered; those of one offer by their ids. With the epoch they wait in.
type Line = BTreeMap<(Offered, RunId), u32>;

/// Counts offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Offered(u64);

/// The hints, and whether they are all there are.
#[derive(Default)]
pub(super) struct Known {
    /// Somebody proposes here; before that nothing is kept.
    asked: bool,
    complete: bool,
    /// The latest offer.
    latest: Offered,
    lines: [BTreeMap<TenantId, Line>; Class::ALL.len()],
    /// By which offer each run came, and in which epoch.
    places: HashMap<RunId, (Offered, u32)>,
    /// Proposed from here, and not concluded.
    proposed: HashSet<RunId>,
}

impl Known {
    /// Keeps those hints that are due.
    pub(super) fn offer(&mut self, hints: &[Hint]) {
        if !self.asked {
            return;
        }
        if self.places.len() + hints.len() > MOST {
            self.places.clear();
            self.lines = Default::default();
            self.complete = false;
            return;
        }
        self.latest.0 += 1;
        for hint in hints.iter().filter(|hint| hint.delay.is_zero()) {
            match self.places.insert(hint.run, (self.latest, hint.epoch)) {
                // Offered twice: it keeps its place.
                Some(place) if place.1 == hint.epoch => {
                    self.places.insert(hint.run, place);
                    continue;
                }
                Some((offer, _)) => self.leave_line(hint, offer),
                None => {}
            }
            let tenants = &mut self.lines[hint.class as usize];
            let line = match tenants.get_mut(&hint.tenant) {
                Some(line) => line,
                None => tenants.entry(hint.tenant.clone()).or_default(),
            };
            line.insert((self.latest, hint.run), hint.epoch);
        }
    }

    /// The latest offer, to be named after a look that began now.
    pub(super) const fn latest(&self) -> Offered {
        self.latest
    }

    /// Whether there is nothing to propose from here, and whether what there is can be taken for all there is.
    pub(super) fn state(&mut self) -> (bool, bool) {
        self.asked = true;
        // Who asks again without a conclusion does not know what became of it.
        if !self.proposed.is_empty() {
            self.proposed.clear();
            self.complete = false;
        }
        // Where nothing was ever offered, the queue is filled by others.
        let offered = self.latest != Offered::default();
        (self.places.is_empty(), self.complete && offered)
    }

    /// Takes up to `limit` runs of a class: tenants in turn beginning with the first one after `after` (in order of name,
    /// around the end), oldest first inside a tenant.
    pub(super) fn ready(&self, class: Class, after: Option<&TenantId>, limit: usize) -> VecDeque<Hint> {
        let tenants = &self.lines[class as usize];
        let from_start = tenants.iter();
        let split = after.map_or(0, |after| tenants.range(..=after).count());
        let ring = from_start.clone().skip(split).chain(from_start.take(split));
        let mut lines: VecDeque<_> = ring
            .take(limit)
            .map(|(tenant, line)| (tenant, line.iter()))
            .collect();
        let mut ready = VecDeque::new();
        while ready.len() < limit
            && let Some((tenant, mut line)) = lines.pop_front()
        {
            if let Some(((_, run), epoch)) = line.next() {
                ready.push_back(Hint {
                    run: *run,
                    epoch: *epoch,
                    tenant: tenant.clone(),
                    class,
                    delay: std::time::Duration::ZERO,
                });
                lines.push_back((tenant, line));
            }
        }
        ready
    }

    /// That these were proposed from here.
    pub(super) fn propose(&mut self, hints: &[Hint]) {
        for hint in hints {
            self.remove(hint);
            self.proposed.insert(hint.run);
        }
    }

    /// What a look at the ledger's queue brought, which began after an offer.
    pub(super) fn look(&mut self, queues: &[VecDeque<Hint>], after: Offered) {
        let mut queued = queues.iter().flatten().peekable();
        if queued.peek().is_none() {
            // Nothing is queued but what was offered meanwhile, so nothing has escaped.
            self.complete = true;
            self.places.retain(|_, (offer, _)| *offer > after);
            for tenants in &mut self.lines {
                tenants.retain(|_, line| {
                    line.retain(|(offer, _), _| *offer > after);
                    !line.is_empty()
                });
            }
        } else if self.complete {
            self.complete = queued.all(|hint| self.places.contains_key(&hint.run));
        }
    }

    /// What became of a proposal, from here or from the ledger.
    pub(super) fn conclude(&mut self, proposed: &[Hint], granted: &[RunId]) {
        for hint in proposed {
            if !self.proposed.remove(&hint.run) {
                self.remove(hint);
            }
        }
        // Whatever was not granted may be queued all the same.
        if granted.len() < proposed.len() {
            self.complete = false;
        }
    }

    /// Removes a hint, unless it is known of another epoch: then that is a fresh one.
    fn remove(&mut self, hint: &Hint) {
        if let Some((offer, epoch)) = self.places.get(&hint.run).copied()
            && epoch == hint.epoch
        {
            self.places.remove(&hint.run);
            self.leave_line(hint, offer);
        }
    }

    fn leave_line(&mut self, hint: &Hint, offer: Offered) {
        let tenants = &mut self.lines[hint.class as usize];
        if let Some(line) = tenants.get_mut(&hint.tenant) {
            line.remove(&(offer, hint.run));
            if line.is_empty() {
                tenants.remove(&hint.tenant);
            }
        }
    }
}
