//! What is learned from calls: breakers, paces, headroom, and what other workers say.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::Timestamp;

use super::super::breaker::BreakerState;
use super::super::hedge::HedgeSettings;
use super::super::moment::Moment;
use super::super::need::Need;
use super::super::plan::{Remedy, Router, RouterSettings};
use super::super::ticket::CallEnd;
use super::super::verdict::Verdict;
use super::stage::{alike, answer, at, fail, id, model, provider, router, router_but};
use crate::providers::{Allowance, Headroom};

const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn open(router: &Router, name: &str, now: Moment) {
    for _ in 0..4 {
        fail(router.choose(&Need::plain(name), &[], now, 1).unwrap(), now);
    }
    let fifth = router.choose(&Need::plain(name), &[], now, 1).unwrap();
    let changed = fifth.ticket.end(&CallEnd::of(Verdict::Ill), now);
    assert_eq!(changed, Some(BreakerState::Open));
}

#[test]
fn an_open_breaker_gets_no_call_until_its_time_and_then_few() {
    let router = router(&alike(2));
    open(&router, "a/m", at(0));
    for seed in 0..200 {
        let choice = router
            .choose(&Need::plain("m"), &[], at(seed * 19), seed)
            .unwrap();
        assert_eq!(id(&choice), "b/m");
    }
    let none = router.choose(&Need::plain("a/m"), &[], at(0), 1).unwrap_err();
    let Remedy::Wait(Some(until)) = none.remedy else {
        panic!("{:?}", none.remedy);
    };
    assert!((4_000..=6_000).contains(&until.since(at(0)).as_millis()));
    let probes: Vec<_> = (0..10)
        .filter_map(|seed| router.choose(&Need::plain("a/m"), &[], until, seed).ok())
        .collect();
    assert_eq!(probes.len(), 2);
    for probe in probes {
        answer(probe, until, 100);
    }
    assert_eq!(
        router.explain(&Need::plain("a/m"), until).candidates[0]
            .figures
            .breaker,
        BreakerState::Closed
    );
}

#[test]
fn refusals_of_pace_and_of_requests_open_nothing() {
    let router = router(&alike(1));
    for step in 0..100 {
        let now = at(step * 100_000);
        let paced = router.choose(&Need::plain("m"), &[], now, 1).unwrap();
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(
            paced
                .ticket
                .end(&CallEnd::of(Verdict::Paced { retry_after }), now),
            None
        );
        let none = router.choose(&Need::plain("m"), &[], now, 1).unwrap_err();
        assert_eq!(none.remedy, Remedy::Wait(Some(now.plus(Duration::from_secs(7)))));
        let later = now.plus(Duration::from_secs(7));
        let refused = router.choose(&Need::plain("m"), &[], later, 1).unwrap();
        assert_eq!(refused.ticket.end(&CallEnd::of(Verdict::NoWord), later), None);
    }
}

#[test]
fn what_one_worker_learns_the_fleet_obeys() {
    let settings = |writer| RouterSettings {
        writer,
        ..RouterSettings::default()
    };
    let one = router_but(&alike(2), &[], settings(1));
    let other = router_but(&alike(2), &[], settings(2));
    open(&one, "a/m", at(0));
    let news = one.news(at(0), WALL);
    assert_eq!(news.len(), 1);
    assert_eq!(one.news_of("a", "m", at(0), WALL), Some(news[0].clone()));
    let text = serde_json::to_string(&news[0]).unwrap();
    let heard = serde_json::from_str(&text).unwrap();
    assert!(other.hear(&heard, at(500_000), WALL));
    assert!(!other.hear(&heard, at(500_000), WALL));
    for seed in 0..50 {
        assert_eq!(
            id(&other.choose(&Need::plain("m"), &[], at(503_000), seed).unwrap()),
            "b/m"
        );
    }
    let mut stranger = heard;
    stranger.provider = "who".to_owned();
    assert!(!other.hear(&stranger, at(500_000), WALL));
}

/// One of three fails: it gets calls until its breaker opens, and then only probes.
#[test]
fn a_failing_provider_costs_a_handful_of_calls() {
    let router = router(&alike(3));
    let (mut failed, mut while_open) = (0, 0);
    // Somebody insists on it: otherwise its first failure already sends the calls elsewhere.
    let mut need = Need::plain("m");
    need.provider_hint = Some("a".to_owned());
    for step in 0..6_000_u64 {
        let now = at(step * 10);
        let before = router.explain(&Need::plain("a/m"), now).candidates[0]
            .figures
            .breaker;
        let choice = router.choose(&need, &[], now, step).unwrap();
        if id(&choice) == "a/m" {
            while_open += u32::from(before == BreakerState::Open);
            fail(choice, now);
            failed += 1;
        } else {
            answer(choice, now, 8);
        }
    }
    assert_eq!(while_open, 0);
    assert!(
        (5..25).contains(&failed),
        "{failed} of 6000 calls met the one that fails"
    );
}

#[test]
fn a_ticket_dropped_gives_everything_back() {
    let router = router(&(provider("a", "limits.concurrency = 3") + &model("a", "m", "")));
    let need = Need::plain("m");
    let running: Vec<_> = (0..3)
        .map(|_| router.choose(&need, &[], at(0), 1).unwrap())
        .collect();
    assert_eq!(router.explain(&need, at(0)).candidates[0].figures.in_flight, 3);
    drop(running);
    let figures = router.explain(&need, at(0)).candidates[0].figures.clone();
    assert_eq!(figures.in_flight, 0);
    assert_eq!(
        figures.error_rate, 0.01,
        "nobody waited for the end: it says nothing"
    );
}

#[test]
fn headroom_counts_and_nothing_left_closes_the_key() {
    let router = router(&alike(1));
    let need = Need::plain("m");
    let left = |remaining| Headroom {
        requests: Allowance {
            limit: Some(100),
            remaining: Some(remaining),
            reset: Some(Duration::from_secs(20)),
        },
        ..Headroom::default()
    };
    let choice = router.choose(&need, &[], at(0), 1).unwrap();
    choice.ticket.headroom(&left(25), at(0));
    let headroom = || router.explain(&need, at(0)).candidates[0].figures.headroom;
    assert!((headroom() - 0.25).abs() < 1e-4);
    choice.ticket.headroom(&left(0), at(0));
    let none = router.choose(&need, &[], at(0), 1).unwrap_err();
    assert_eq!(none.remedy, Remedy::Wait(Some(at(20_000))));
    drop(choice);
    assert!(router.choose(&need, &[], at(20_000), 1).is_ok());
}

#[test]
fn a_second_one_is_asked_after_the_p95_within_the_budget() {
    let settings = RouterSettings {
        hedge: HedgeSettings {
            enabled: true,
            ..HedgeSettings::default()
        },
        ..RouterSettings::default()
    };
    let router = router_but(&alike(2), &[], settings);
    let need = Need::plain("m");
    assert_eq!(router.choose(&need, &[], at(0), 1).unwrap().hedge_after, None);
    for step in 0..50 {
        let choice = router.choose(&Need::plain("a/m"), &[], at(step), 1).unwrap();
        answer(choice, at(step), 600);
    }
    let first = router.choose(&Need::plain("a/m"), &[], at(700), 1).unwrap();
    assert_eq!(first.hedge_after, Some(Duration::from_millis(300)));
    let tried = [super::super::candidates::Tried {
        provider: "a".to_owned(),
        model: "m".to_owned(),
    }];
    let hedges: Vec<_> = (0..20)
        .filter_map(|seed| router.hedge(&need, &tried, at(700), seed))
        .collect();
    assert_eq!(hedges.len(), 5, "the spare, and no more: no run paid in");
    assert!(hedges.iter().all(|hedge| id(hedge) == "b/m"));
}

#[test]
fn choosing_and_learning_at_the_same_time_lose_nothing() {
    let router = Arc::new(router(&(alike(3) + "[chains]\nc = [\"m\"]\n")));
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let router = Arc::clone(&router);
            scope.spawn(move || {
                for step in 0..2_000 {
                    let now = at(step);
                    let Ok(choice) = router.choose(&Need::plain("c"), &[], now, worker * 10_000 + step)
                    else {
                        continue;
                    };
                    match step % 7 {
                        0 => drop(choice),
                        1 => fail(choice, now),
                        _ => answer(choice, now, 10),
                    }
                }
            });
        }
    });
    let report = router.explain(&Need::plain("m"), at(1_000_000));
    assert!(
        report
            .candidates
            .iter()
            .all(|candidate| candidate.figures.in_flight == 0)
    );
}
