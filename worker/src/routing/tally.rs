//! The candidates of one choice while it is made: who can, who is passed over, and the report of it.

use super::candidates::{PassedOver, Sieve};
use super::choose::{self, Drawn};
use super::draw::Draw;
use super::moment::Moment;
use super::report::{CandidateReport, FigureReport, LISTED};
use super::score::{self, Best, Merits};
use super::table::{Entry, Table};
use shared::catalog::UsageCounts;

/// The candidates so far.
#[derive(Debug, Default)]
pub(super) struct Tally<'t> {
    /// Who can, of the link that is looked at now.
    eligible: Vec<(&'t Entry, Merits)>,
    /// Their scores: side by side, because they are gone through several times.
    scores: Vec<f32>,
    /// The first ones of all links: so many as a report may write out.
    passed: Vec<(&'t Entry, PassedOver)>,
    counts: Vec<(PassedOver, u32)>,
    /// The earliest moment at which one that is passed over may be able again.
    reopens: Option<Moment>,
}

impl<'t> Tally<'t> {
    /// Looks at the candidates of one link; forgets who could of the link before.
    pub(super) fn weigh(
        &mut self,
        table: &Table,
        sieve: &Sieve<'_>,
        candidates: impl Iterator<Item = &'t Entry>,
        auto: bool,
    ) {
        self.eligible.clear();
        self.eligible.reserve(candidates.size_hint().0);
        let mut best = Best::default();
        for entry in candidates {
            match sieve.try_entry(table, entry, auto) {
                Ok(gate) => {
                    // Made where it stays: handed back as a result it would be copied for each.
                    let merits = sieve.merits(entry, gate);
                    best.see(&merits);
                    self.eligible.push((entry, merits));
                }
                Err(why) => self.pass_over(entry, why, sieve),
            }
        }
        self.scores.clear();
        let score = |(_, merits): &(&Entry, Merits)| score::score(sieve.need.policy, merits, &best);
        self.scores.extend(self.eligible.iter().map(score));
    }

    /// How many can.
    pub(super) fn able(&self) -> usize {
        self.eligible.len()
    }

    /// Draws one of those who can; none when nobody is left.
    pub(super) fn draw(&self, draw: &mut Draw) -> Option<(&'t Entry, Drawn)> {
        let load = |position: usize| self.eligible[position].1.reading.in_flight;
        let drawn = choose::pick(&self.scores, load, draw)?;
        Some((self.eligible[drawn.position].0, drawn))
    }

    /// One that could after all cannot.
    pub(super) fn remove(
        &mut self,
        position: usize,
        why: PassedOver,
        until: Option<Moment>,
        sieve: &Sieve<'_>,
    ) {
        let (entry, _) = self.eligible.swap_remove(position);
        self.scores.swap_remove(position);
        self.pass_over(entry, why, sieve);
        self.reopen(until);
    }

    fn pass_over(&mut self, entry: &'t Entry, why: PassedOver, sieve: &Sieve<'_>) {
        if self.passed.len() < LISTED {
            self.passed.push((entry, why));
        }
        match self.counts.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((why, 1)),
        }
        match why {
            PassedOver::BreakerOpen => self.reopen(entry.live.breaker.opens_at(sieve.now)),
            PassedOver::RateLimited => {
                self.reopen(sieve.gates.get(entry.provider).and_then(|gate| gate.reopens));
            }
            _ => {}
        }
    }

    fn reopen(&mut self, at: Option<Moment>) {
        self.reopens = match (self.reopens, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// How many were passed over, by reason.
    pub(super) fn counts(&self) -> &[(PassedOver, u32)] {
        &self.counts
    }

    /// The earliest moment at which one that was passed over may be able again; none when nothing tells.
    pub(super) const fn reopens(&self) -> Option<Moment> {
        self.reopens
    }

    /// The candidates to write out - the chosen one, the best, then those passed over - and how many are left out.
    pub(super) fn listed(
        &self,
        chosen: Option<usize>,
        table: &Table,
        sieve: &Sieve<'_>,
    ) -> (Vec<CandidateReport>, u32) {
        let passed: u32 = self.counts.iter().map(|(_, count)| count).sum();
        let all = u32::try_from(self.eligible.len())
            .unwrap_or(u32::MAX)
            .saturating_add(passed);
        let mut listed = Vec::with_capacity(LISTED);
        for position in self.foremost(chosen) {
            let (entry, merits) = &self.eligible[position];
            let score = Some(self.scores[position]);
            listed.push(written(entry, score, None, merits, table, sieve));
        }
        for (entry, why) in self.passed.iter().take(LISTED - listed.len()) {
            if let Some(merits) = sieve.merits_of(entry) {
                listed.push(written(entry, None, Some(*why), &merits, table, sieve));
            }
        }
        let more = all.saturating_sub(u32::try_from(listed.len()).unwrap_or(u32::MAX));
        (listed, more)
    }

    /// Positions of the chosen one and of the best others, best first: as many as are written out. Of five hundred only
    /// twelve need an order.
    fn foremost(&self, chosen: Option<usize>) -> Vec<usize> {
        let mut foremost: Vec<usize> = Vec::with_capacity(LISTED + 1);
        foremost.extend(chosen);
        let head = foremost.len();
        // The last one's score, once there are enough.
        let mut least = f32::NEG_INFINITY;
        for (position, &score) in self.scores.iter().enumerate() {
            if score <= least || Some(position) == chosen {
                continue;
            }
            let better = |&other: &usize| self.scores[other] >= score;
            let place = head + foremost[head..].partition_point(better);
            foremost.insert(place, position);
            foremost.truncate(LISTED);
            if let Some(&last) = foremost.get(LISTED - 1) {
                least = self.scores[last];
            }
        }
        foremost
    }
}

fn written(
    entry: &Entry,
    score: Option<f32>,
    passed_over: Option<PassedOver>,
    merits: &Merits,
    table: &Table,
    sieve: &Sieve<'_>,
) -> CandidateReport {
    let prices = table.slot(entry).and_then(|slot| entry.prices(slot));
    let (input, output) = (sieve.need.input_tokens, sieve.need.output_tokens);
    let usage = UsageCounts::plain(u64::from(input), u64::from(output));
    let reading = &merits.reading;
    // Four digits tell as much as the figures are worth, and keep the log short.
    let digits = |value: f32| (value * 1e4).round() / 1e4;
    CandidateReport {
        provider: entry.model.provider.clone(),
        model: entry.model.name.clone(),
        score: score.map(digits),
        passed_over: passed_over.map(PassedOver::as_str),
        figures: FigureReport {
            first_token_ms: reading.first_token.map(|seconds| (seconds * 1e3).round()),
            tokens_per_second: reading
                .tokens_per_second()
                .map(|speed| (speed * 10.0).round() / 10.0),
            error_rate: digits(reading.error_rate),
            in_flight: reading.in_flight,
            headroom: digits(reading.headroom),
            breaker: entry.live.breaker.state(sieve.now),
            quality: (entry.tier > 0).then_some(entry.tier),
            cost_usd: prices.map(|prices| prices.cost(&usage)),
        },
    }
}
