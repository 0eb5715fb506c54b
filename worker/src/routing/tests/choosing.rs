//! Which of those who can is chosen.

use std::collections::BTreeMap;

use super::super::need::Need;
use super::super::policy::Policy;
use super::stage::{alike, answer, at, id, model, provider, router};

#[test]
fn a_fleet_that_knows_the_same_spreads() {
    let mut times = BTreeMap::new();
    for worker in 0..100 {
        // Each worker has a router of its own; all have seen nothing.
        let router = router(&alike(4));
        let choice = router.choose(&Need::plain("m"), &[], at(0), worker).unwrap();
        *times.entry(id(&choice)).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 4);
    assert!(times.values().all(|&times| times >= 10), "{times:?}");
}

#[test]
fn calls_of_one_worker_spread_by_how_many_run() {
    let router = router(&alike(4));
    let running: Vec<_> = (0..80)
        .map(|seed| router.choose(&Need::plain("m"), &[], at(0), seed).unwrap())
        .collect();
    let mut times = BTreeMap::new();
    for choice in &running {
        *times.entry(id(choice)).or_insert(0) += 1;
    }
    assert!(times.values().all(|times| (16..=24).contains(times)), "{times:?}");
}

#[test]
fn policies_choose_by_what_they_are_named_after() {
    let text = provider("far", "")
        + &provider("near", "local = true")
        + &model(
            "far",
            "cheap",
            "aliases = [\"m\"]\nquality = 1\nprices = { input = 0.1, output = 0.1 }",
        )
        + &model(
            "far",
            "quick",
            "aliases = [\"m\"]\nquality = 2\nprices = { input = 9.0, output = 9.0 }",
        )
        + &model(
            "far",
            "clever",
            "aliases = [\"m\"]\nquality = 5\nprices = { input = 12.0, output = 12.0 }",
        )
        + &model(
            "near",
            "own",
            "aliases = [\"m\"]\nquality = 1\nprices = { input = 5.0, output = 5.0 }",
        );
    let router = router(&text);
    for (name, millis) in [
        ("far/cheap", 3_000),
        ("far/quick", 300),
        ("far/clever", 3_000),
        ("near/own", 9_000),
    ] {
        answer(
            router.choose(&Need::plain(name), &[], at(0), 1).unwrap(),
            at(0),
            millis,
        );
    }
    let table = [
        (Policy::Cheapest, "far/cheap"),
        (Policy::Fastest, "far/quick"),
        (Policy::Quality, "far/clever"),
        (Policy::LocalFirst, "near/own"),
    ];
    for (policy, expected) in table {
        let mut need = Need::plain("m");
        need.policy = policy;
        need.input_tokens = 1_000;
        let choice = router.choose(&need, &[], at(9_000), 1).unwrap();
        assert_eq!(id(&choice), expected, "{policy}");
        assert_eq!(choice.report.policy, policy);
    }
}

#[test]
fn a_hint_is_followed_while_it_can_be() {
    let router = router(&alike(3));
    let mut need = Need::plain("m");
    need.provider_hint = Some("c".to_owned());
    for seed in 0..20 {
        assert_eq!(id(&router.choose(&need, &[], at(0), seed).unwrap()), "c/m");
    }
    need.provider_hint = Some("who".to_owned());
    assert!(router.choose(&need, &[], at(0), 1).is_ok());
}

#[test]
fn the_slow_is_left_and_tried_again_when_it_was_not_seen_for_long() {
    let router = router(&alike(2));
    let mut need = Need::plain("m");
    need.policy = Policy::Fastest;
    answer(
        router.choose(&Need::plain("a/m"), &[], at(0), 1).unwrap(),
        at(0),
        5_000,
    );
    answer(
        router.choose(&Need::plain("b/m"), &[], at(0), 1).unwrap(),
        at(0),
        500,
    );
    let chosen_at = |now| {
        let ids = (0..50).map(|seed| id(&router.choose(&need, &[], now, seed).unwrap()));
        ids.filter(|id| id == "a/m").count()
    };
    assert_eq!(chosen_at(at(5_000)), 0);
    assert!(chosen_at(at(600_000)) > 10);
}

#[test]
fn a_newcomer_is_tried() {
    let router = router(&alike(2));
    answer(
        router.choose(&Need::plain("a/m"), &[], at(0), 1).unwrap(),
        at(0),
        100,
    );
    let tried = (0..50).filter(|seed| {
        let choice = router.choose(&Need::plain("m"), &[], at(100), *seed).unwrap();
        id(&choice) == "b/m"
    });
    assert!(tried.count() > 10);
}

#[test]
fn the_same_seed_and_figures_choose_the_same() {
    let (one, other) = (router(&alike(9)), router(&alike(9)));
    for seed in 0..200 {
        let of = |router: &super::super::plan::Router| {
            let choice = router.choose(&Need::plain("m"), &[], at(seed), seed).unwrap();
            (id(&choice), choice.report)
        };
        assert_eq!(of(&one), of(&other));
    }
}
