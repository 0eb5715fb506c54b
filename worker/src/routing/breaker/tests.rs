//! The breaker by example.

use super::*;

const SETTINGS: BreakerSettings = BreakerSettings {
    window: Duration::from_secs(10),
    min_calls: 4,
    failure_ratio: 0.5,
    open_first: Duration::from_secs(5),
    open_most: Duration::from_secs(30),
    probes: 1,
    closes_after: 2,
};

fn at(seconds: u64) -> Moment {
    Moment::from_nanos((seconds + 1) * 1_000_000_000)
}

const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn breaker() -> Arc<Breaker> {
    Arc::new(Breaker::new(SETTINGS, 1, 1))
}

fn call(breaker: &Arc<Breaker>, well: bool, now: Moment) -> Option<BreakerState> {
    breaker.try_pass(now).unwrap().end(Some(well), now)
}

fn opened(now: Moment) -> Arc<Breaker> {
    let breaker = breaker();
    for _ in 0..3 {
        assert_eq!(call(&breaker, false, now), None);
    }
    assert_eq!(call(&breaker, false, now), Some(BreakerState::Open));
    breaker
}

#[test]
fn it_opens_on_a_share_of_enough_calls_and_on_nothing_less() {
    let breaker = breaker();
    for _ in 0..3 {
        call(&breaker, false, at(0));
    }
    assert_eq!(breaker.state(at(0)), BreakerState::Closed);
    // Out of the window: these three no longer count.
    assert_eq!(call(&breaker, false, at(20)), None);
    for _ in 0..4 {
        call(&breaker, true, at(20));
    }
    for _ in 0..2 {
        assert_eq!(call(&breaker, false, at(20)), None);
    }
    assert_eq!(call(&breaker, false, at(20)), Some(BreakerState::Open));
    assert!(!breaker.lets_go(at(20)));
    assert!(breaker.try_pass(at(20)).is_none());
}

#[test]
fn what_is_not_the_providers_fault_never_opens_it() {
    let breaker = breaker();
    for _ in 0..100 {
        let pass = breaker.try_pass(at(0)).unwrap();
        assert_eq!(pass.end(None, at(0)), None);
    }
    assert_eq!(breaker.state(at(0)), BreakerState::Closed);
}

#[test]
fn half_open_lets_few_through_and_a_dropped_probe_gives_its_place_back() {
    let breaker = opened(at(0));
    // 5 s with at most a fifth more.
    assert!(!breaker.lets_go(at(3)));
    assert!(breaker.lets_go(at(6)));
    let probe = breaker.try_pass(at(6)).unwrap();
    assert_eq!(breaker.state(at(6)), BreakerState::HalfOpen);
    assert!(!breaker.lets_go(at(6)));
    assert!(breaker.try_pass(at(6)).is_none());
    drop(probe);
    assert!(breaker.lets_go(at(6)));
    assert_eq!(call(&breaker, true, at(6)), None);
    assert_eq!(call(&breaker, true, at(6)), Some(BreakerState::Closed));
    assert!(breaker.lets_go(at(6)));
}

#[test]
fn each_opening_in_a_row_is_longer_up_to_the_longest() {
    let breaker = opened(at(0));
    let mut now = at(0);
    for expected in [5.0, 10.0, 20.0, 30.0, 30.0_f64] {
        let length = breaker.opens_at(now).unwrap().since(now).as_secs_f64();
        assert!(
            (expected * 0.8..=expected * 1.2).contains(&length),
            "{length} of {expected}"
        );
        now = breaker.opens_at(now).unwrap();
        assert_eq!(call(&breaker, false, now), Some(BreakerState::Open));
    }
}

#[test]
fn an_opening_soon_after_closing_goes_on_growing_and_a_late_one_begins_again() {
    for (later, expected) in [(1, 10.0), (11, 5.0)] {
        let breaker = opened(at(0));
        call(&breaker, true, at(6));
        call(&breaker, true, at(6));
        let now = at(6 + later);
        for _ in 0..4 {
            call(&breaker, false, now);
        }
        let length = breaker.opens_at(now).unwrap().since(now).as_secs_f64();
        assert!(
            (expected * 0.8..=expected * 1.2).contains(&length),
            "{length} of {expected}"
        );
    }
}

#[test]
fn a_call_that_began_before_the_last_change_is_not_heard() {
    let breaker = breaker();
    let slow = breaker.try_pass(at(0)).unwrap();
    let slower = breaker.try_pass(at(0)).unwrap();
    for _ in 0..4 {
        call(&breaker, false, at(0));
    }
    assert_eq!(slow.end(Some(true), at(6)), None);
    let probe = breaker.try_pass(at(6)).unwrap();
    assert_eq!(slower.end(Some(false), at(6)), None);
    assert_eq!(breaker.state(at(6)), BreakerState::HalfOpen);
    assert!(
        !breaker.lets_go(at(6)),
        "the old call must not free the probe's place"
    );
    drop(probe);
}

#[test]
fn what_one_worker_learns_the_others_obey() {
    let one = opened(at(0));
    let other = Arc::new(Breaker::new(SETTINGS, 2, 2));
    let news = one.news("p", "m", at(0), WALL).unwrap();
    assert_eq!(news.state, NewsState::Open);
    // The other's clock began elsewhere.
    assert!(other.hear(&news, at(1_000), WALL));
    assert!(!other.hear(&news, at(1_000), WALL));
    assert!(!other.lets_go(at(1_003)));
    assert!(other.try_pass(at(1_003)).is_none());
    assert_eq!(other.news("p", "m", at(1_003), WALL), Some(news));
    // It is the other who probes and closes, and the first hears so.
    call(&other, true, at(1_010));
    assert_eq!(call(&other, true, at(1_010)), Some(BreakerState::Closed));
    let closed = other.news("p", "m", at(1_010), WALL).unwrap();
    assert!(one.hear(&closed, at(1), WALL));
    assert_eq!(one.state(at(1)), BreakerState::Closed);
}

#[test]
fn a_clock_that_is_wrong_cannot_hold_it_open_for_ever() {
    let breaker = breaker();
    let news = BreakerNews {
        provider: "p".to_owned(),
        model: "m".to_owned(),
        state: NewsState::Open,
        until: WALL.plus(Duration::from_secs(1_000_000)),
        level: 0,
        version: 9,
        writer: 9,
    };
    assert!(breaker.hear(&news, at(0), WALL));
    assert!(!breaker.lets_go(at(35)));
    assert!(breaker.lets_go(at(44)), "30 s, twice a fifth more");
}
