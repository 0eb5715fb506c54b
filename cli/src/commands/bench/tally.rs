//! What was measured: by one run, by one thread of the generator, and by all of them together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::histogram::Histogram;

/// So many different errors are told apart; the others are counted together.
const DIFFERENT_ERRORS: usize = 16;

/// The part of the time that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

impl Window {
    pub(super) fn holds(self, moment: Instant) -> bool {
        self.begin <= moment && moment < self.end
    }
}

/// What is noted while one run is read. Its memory is used again for the next.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) sent: Instant,
    /// The head of the response came.
    pub(super) accepted: Option<Instant>,
    /// The first text came.
    pub(super) first: Option<Instant>,
    /// Silence between two arrivals of text.
    pub(super) gaps: Vec<Duration>,
    last: Option<Instant>,
    /// Words that came inside the window.
    pub(super) words: u64,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            sent: Instant::now(),
            accepted: None,
            first: None,
            gaps: Vec::new(),
            last: None,
            words: 0,
        }
    }

    pub(super) fn begin(&mut self) {
        self.gaps.clear();
        *self = Self {
            gaps: std::mem::take(&mut self.gaps),
            ..Self::new()
        };
    }

    /// Text has come.
    pub(super) fn arrival(&mut self, now: Instant) {
        match self.last {
            None => self.first = Some(now),
            Some(last) => self.gaps.push(now - last),
        }
        self.last = Some(now);
    }
}

/// How a run ended, for the tally.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) words: u64,
    pub(super) reported: Option<u64>,
    pub(super) rewinds: u64,
}

/// Figures of many runs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Runs that came to their end inside the window.
    pub(super) completed: u64,
    /// Runs that began inside the window and came to their end, whenever that was.
    pub(super) measured: u64,
    /// Words that came inside the window.
    pub(super) words: u64,
    /// Of runs whose provider counted: words, and tokens by its count.
    pub(super) counted: (u64, u64),
    pub(super) rewinds: u64,
    pub(super) accepted: Histogram,
    pub(super) first: Histogram,
    pub(super) whole: Histogram,
    pub(super) gaps: Histogram,
    pub(super) errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Takes over a run that has ended well. Latencies count for runs that began inside the window, so that slow
    /// ones are not left out.
    pub(super) fn completed(&mut self, window: Window, notes: &Notes, ended: &Ended, now: Instant) {
        self.completed += u64::from(window.holds(now));
        self.words += notes.words;
        if !window.holds(notes.sent) {
            return;
        }
        self.measured += 1;
        self.rewinds += ended.rewinds;
        if let Some(reported) = ended.reported {
            self.counted.0 += ended.words;
            self.counted.1 += reported;
        }
        self.whole.record(now - notes.sent);
        for (moment, histogram) in [
            (notes.accepted, &mut self.accepted),
            (notes.first, &mut self.first),
        ] {
            if let Some(moment) = moment {
                histogram.record(moment - notes.sent);
            }
        }
        for gap in &notes.gaps {
            self.gaps.record(*gap);
        }
    }

    /// Takes over a run that did not end well. Errors count whenever they happen.
    pub(super) fn failed(&mut self, notes: &Notes, why: String) {
        self.words += notes.words;
        self.count_error(why, 1);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.completed += other.completed;
        self.measured += other.measured;
        self.words += other.words;
        self.counted.0 += other.counted.0;
        self.counted.1 += other.counted.1;
        self.rewinds += other.rewinds;
        self.accepted.merge(&other.accepted);
        self.first.merge(&other.first);
        self.whole.merge(&other.whole);
        self.gaps.merge(&other.gaps);
        for (why, count) in other.errors {
            self.count_error(why, count);
        }
    }

    fn count_error(&mut self, why: String, count: u64) {
        let known = self.errors.len() < DIFFERENT_ERRORS || self.errors.contains_key(&why);
        let why = if known { why } else { "others".to_owned() };
        *self.errors.entry(why).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn latencies_of_what_began_inside_and_rates_of_what_ended_inside() {
        let start = Instant::now();
        let window = Window {
            begin: at(start, 100),
            end: at(start, 200),
        };
        let ended = Ended {
            words: 3,
            reported: Some(6),
            rewinds: 0,
        };
        let mut tally = Tally::default();
        // Begun and ended: before and inside, inside and inside, inside and after.
        for (sent, end) in [(50, 150), (120, 160), (150, 250)] {
            let mut notes = Notes::new();
            notes.sent = at(start, sent);
            notes.arrival(at(start, sent + 10));
            notes.arrival(at(start, sent + 14));
            tally.completed(window, &notes, &ended, at(start, end));
        }
        assert_eq!((tally.completed, tally.measured, tally.counted), (2, 2, (6, 12)));
        assert_eq!(tally.whole.max(), Duration::from_millis(100));
        assert_eq!(
            (tally.first.count(), tally.first.max()),
            (2, Duration::from_millis(10))
        );
        assert_eq!(
            (tally.gaps.count(), tally.gaps.max()),
            (2, Duration::from_millis(4))
        );
    }

    #[test]
    fn the_notes_of_a_run_are_gone_with_it() {
        let mut notes = Notes::new();
        notes.arrival(Instant::now());
        notes.arrival(Instant::now());
        notes.begin();
        assert!(notes.gaps.is_empty() && notes.first.is_none());
        notes.arrival(Instant::now());
        assert!(notes.gaps.is_empty());
    }

    #[test]
    fn many_different_errors_take_a_bounded_place() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.failed(&Notes::new(), format!("error {number}"));
        }
        assert_eq!(tally.errors.len(), DIFFERENT_ERRORS + 1);
        assert_eq!(tally.errors.values().sum::<u64>(), 100);
    }
}
