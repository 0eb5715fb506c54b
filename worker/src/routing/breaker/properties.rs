//! The breaker against a model of it that keeps everything and computes nothing ahead, and its news under any order of
//! delivery.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::window::SLOTS;
use super::*;

const SETTINGS: BreakerSettings = BreakerSettings {
    window: Duration::from_secs(10),
    min_calls: 3,
    failure_ratio: 0.5,
    open_first: Duration::from_secs(4),
    open_most: Duration::from_secs(20),
    probes: 2,
    closes_after: 2,
};

const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Begin,
    End { which: usize, well: Option<bool> },
    Drop { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let word = prop_oneof![1 => Just(Some(true)), 2 => Just(Some(false)), 1 => Just(None)];
    prop_oneof![
        2 => (1_u64..4_000).prop_map(Step::Wait),
        4 => Just(Step::Begin),
        4 => (0_usize..8, word).prop_map(|(which, well)| Step::End { which, well }),
        1 => (0_usize..8).prop_map(|which| Step::Drop { which }),
    ]
}

/// What the breaker is meant to be: every end since the last change, and the passes out.
#[derive(Default)]
struct Model {
    phase: Phase,
    changes: u64,
    ends: Vec<(u64, bool)>,
    probes: u32,
    well: u32,
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Phase {
    #[default]
    Closed,
    /// Its end is drawn: the model takes it from the breaker, and checks it elsewhere.
    Open(Moment),
    HalfOpen,
}

impl Model {
    fn change(&mut self, phase: Phase) {
        self.phase = phase;
        self.changes += 1;
        self.ends.clear();
        self.probes = 0;
        self.well = 0;
    }

    fn begin(&mut self, now: Moment) -> Option<u64> {
        if let Phase::Open(until) = self.phase
            && now >= until
        {
            self.change(Phase::HalfOpen);
        }
        match self.phase {
            Phase::Closed => Some(self.changes),
            Phase::HalfOpen if self.probes < SETTINGS.probes => {
                self.probes += 1;
                Some(self.changes)
            }
            Phase::Open(_) | Phase::HalfOpen => None,
        }
    }

    /// What the end of a call should change the state to.
    fn end(&mut self, began: u64, well: Option<bool>, now: Moment) -> Option<BreakerState> {
        if began != self.changes {
            return None;
        }
        if self.phase == Phase::HalfOpen {
            self.probes -= 1;
        }
        let well = well?;
        if self.phase == Phase::HalfOpen {
            self.well += u32::from(well);
            if !well {
                return Some(BreakerState::Open);
            }
            return (self.well == SETTINGS.closes_after).then_some(BreakerState::Closed);
        }
        let slot = u64::try_from(SETTINGS.window.as_nanos()).unwrap() / SLOTS;
        let current = now.nanos() / slot;
        self.ends.push((current, well));
        let counted: Vec<bool> = self
            .ends
            .iter()
            .filter(|(index, _)| current - index < SLOTS)
            .map(|&(_, well)| well)
            .collect();
        let ill = counted.iter().filter(|well| !**well).count();
        let enough = counted.len() >= SETTINGS.min_calls as usize;
        (!well && enough && ill * 2 >= counted.len()).then_some(BreakerState::Open)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_its_model(seed: u64, steps in vec(step(), 1..120)) {
        let breaker = Arc::new(Breaker::new(SETTINGS, 1, seed));
        let mut model = Model::default();
        let mut now = Moment::from_nanos(1);
        let mut out: VecDeque<(Pass, u64)> = VecDeque::new();
        for step in steps {
            match step {
                Step::Wait(millis) => now = now.plus(Duration::from_millis(millis)),
                Step::Begin => {
                    prop_assert_eq!(breaker.lets_go(now), breaker.try_pass(now).is_some_and(|pass| {
                        drop(pass);
                        true
                    }));
                    let expected = model.begin(now);
                    let pass = breaker.try_pass(now);
                    prop_assert_eq!(pass.is_some(), expected.is_some());
                    if let (Some(pass), Some(began)) = (pass, expected) {
                        out.push_back((pass, began));
                    }
                }
                Step::End { which, well } => {
                    let Some((pass, began)) = out.remove(which) else { continue };
                    let expected = model.end(began, well, now);
                    prop_assert_eq!(pass.end(well, now), expected);
                    match expected {
                        Some(BreakerState::Open) => {
                            let until = breaker.opens_at(now).unwrap();
                            let length = until.since(now).as_secs_f64();
                            prop_assert!((3.2..=24.0).contains(&length), "open for {}", length);
                            model.change(Phase::Open(until));
                        }
                        Some(_) => model.change(Phase::Closed),
                        None => {}
                    }
                }
                Step::Drop { which } => {
                    let Some((pass, began)) = out.remove(which) else { continue };
                    drop(pass);
                    prop_assert_eq!(model.end(began, None, now), None);
                }
            }
            let shown = match model.phase {
                Phase::Closed => BreakerState::Closed,
                Phase::Open(until) if now < until => BreakerState::Open,
                Phase::Open(_) | Phase::HalfOpen => BreakerState::HalfOpen,
            };
            prop_assert_eq!(breaker.state(now), shown);
        }
    }

    /// Whatever the order, and however often each comes: the same news is known in the end.
    #[test]
    fn news_in_any_order_end_in_the_same_state(
        versions in vec((1_u64..6, 1_u64..4), 1..12),
        order in vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let now = Moment::from_nanos(1);
        // What a version says is decided by who wrote it: a writer says nothing twice.
        let news: Vec<BreakerNews> = versions
            .iter()
            .map(|&(version, writer)| BreakerNews {
                provider: "p".to_owned(),
                model: "m".to_owned(),
                state: if (version + writer) % 2 == 0 { NewsState::Open } else { NewsState::Closed },
                until: WALL.plus(Duration::from_secs(version * 10 + writer)),
                level: u32::try_from(version).unwrap(),
                version,
                writer,
            })
            .collect();
        let straight = Arc::new(Breaker::new(SETTINGS, 9, 1));
        let shuffled = Arc::new(Breaker::new(SETTINGS, 8, 2));
        for item in &news {
            straight.hear(item, now, WALL);
        }
        for index in &order {
            shuffled.hear(index.get(&news), now, WALL);
        }
        for item in news.iter().rev() {
            shuffled.hear(item, now, WALL);
        }
        let newest = news.iter().fold(&news[0], |best, item| if item.newer_than(best) { item } else { best });
        prop_assert_eq!(straight.news("p", "m", now, WALL), Some(newest.clone()));
        prop_assert_eq!(shuffled.news("p", "m", now, WALL), Some(newest.clone()));
        prop_assert_eq!(straight.lets_go(now), shuffled.lets_go(now));
        prop_assert_eq!(straight.lets_go(now), newest.state == NewsState::Closed);
    }
}
