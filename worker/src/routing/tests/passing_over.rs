//! Who is passed over, why, and what helps.

use super::super::candidates::Tried;
use super::super::need::{Abilities, Need, Params};
use super::super::plan::Remedy;
use super::stage::{alike, at, catalog, id, live, model, provider, router, router_but};
use crate::routing::plan::{Router, RouterSettings};
use std::num::NonZeroU32;

/// The reason for which the only provider of `m` is passed over.
fn reason(router: &Router, need: &Need, tried: &[Tried]) -> (&'static str, Remedy) {
    let none = router.choose(need, tried, at(0), 1).unwrap_err();
    let reasons: Vec<_> = none.report.passed_over.iter().collect();
    let [(reason, 1)] = reasons[..] else {
        panic!("{reasons:?}");
    };
    assert_eq!(none.report.candidates[0].passed_over, Some(*reason));
    (reason, none.remedy)
}

#[test]
fn each_reason_has_its_name_and_its_remedy() {
    let m = Need::plain("m");
    let one = |provider_more: &str, model_more: &str| {
        router(&(provider("a", provider_more) + &model("a", "m", model_more)))
    };
    let with = |ability| {
        let mut need = m.clone();
        need.abilities.set(ability, true);
        need
    };
    let chat = "capabilities = [\"chat\"]";
    let table = [
        (one("", chat), with(Abilities::TOOLS), "capability:tools"),
        (one("", chat), with(Abilities::VISION), "capability:vision"),
        (
            one("", chat),
            with(Abilities::JSON_SCHEMA),
            "capability:json_schema",
        ),
        (
            one("", "capabilities = [\"embeddings\"]"),
            m.clone(),
            "capability:chat",
        ),
        (
            one("quirks.dropped_params = [\"logprobs\"]", ""),
            Need {
                params: Params::named(["logprobs", "seed"]),
                ..m.clone()
            },
            "param:logprobs",
        ),
        (
            one("", "context_window = 1000"),
            Need {
                input_tokens: 1_000,
                ..m.clone()
            },
            "context_window",
        ),
        (
            one("", "context_window = 1000"),
            Need {
                input_tokens: 600,
                max_tokens: Some(401),
                ..m.clone()
            },
            "context_window",
        ),
        (
            one("", "max_output = 500"),
            Need {
                max_tokens: Some(501),
                ..m.clone()
            },
            "max_output",
        ),
    ];
    for (router, need, expected) in table {
        assert_eq!(reason(&router, &need, &[]), (expected, Remedy::AnotherRequest));
        let easier = Need {
            input_tokens: 600,
            max_tokens: Some(400),
            ..m.clone()
        };
        if expected != "capability:chat" {
            assert!(router.choose(&easier, &[], at(0), 1).is_ok(), "{expected}");
        }
    }
}

#[test]
fn without_a_key_a_provider_is_not_configured() {
    let router = router_but(&alike(1), &["a"], RouterSettings::default());
    assert_eq!(
        reason(&router, &Need::plain("m"), &[]),
        ("not_configured", Remedy::AnotherRequest)
    );
}

#[test]
fn what_failed_in_this_run_is_not_asked_again() {
    let router = router(&alike(2));
    let failed = |provider: &str| Tried {
        provider: provider.to_owned(),
        model: "m".to_owned(),
    };
    for seed in 0..20 {
        let choice = router
            .choose(&Need::plain("m"), &[failed("a")], at(0), seed)
            .unwrap();
        assert_eq!(id(&choice), "b/m");
    }
    let none = router
        .choose(&Need::plain("m"), &[failed("a"), failed("b")], at(0), 1)
        .unwrap_err();
    assert_eq!(none.remedy, Remedy::Wait(None));
    assert_eq!(none.report.passed_over["excluded_after_failure"], 2);
}

#[test]
fn a_full_provider_is_passed_over_until_a_call_ends() {
    let router = router(&(provider("a", "limits.concurrency = 1") + &model("a", "m", "")));
    let need = Need::plain("m");
    let choice = router.choose(&need, &[], at(0), 1).unwrap();
    assert_eq!(reason(&router, &need, &[]), ("concurrency", Remedy::Wait(None)));
    drop(choice);
    assert!(router.choose(&need, &[], at(0), 1).is_ok());
}

#[test]
fn a_rate_limit_is_met_by_holding_back_and_says_until_when() {
    let router = router(&(provider("a", "limits.rpm = 6") + &model("a", "m", "")));
    let need = Need::plain("m");
    drop(router.choose(&need, &[], at(0), 1).unwrap());
    // Five more flow in over the minute: one each twelve seconds.
    for _ in 0..2 {
        let (why, remedy) = reason(&router, &need, &[]);
        assert_eq!((why, remedy), ("rate_limited", Remedy::Wait(Some(at(12_000)))));
    }
    assert!(router.choose(&need, &[], at(12_000), 1).is_ok());
}

#[test]
fn nobody_knows_the_name() {
    let router = router(&alike(2));
    let none = router.choose(&Need::plain("nope"), &[], at(0), 1).unwrap_err();
    assert_eq!(none.remedy, Remedy::AnotherModel);
    assert_eq!(none.to_string(), "no provider here offers a model named `nope`");
}

#[test]
fn a_provider_that_goes_away_is_passed_over_and_what_was_learned_of_it_stays() {
    let text = alike(2);
    let router = router(&text);
    let need = Need::plain("a/m");
    for _ in 0..5 {
        super::stage::fail(router.choose(&need, &[], at(0), 1).unwrap(), at(0));
    }
    let catalog = catalog(&text);
    router.update(catalog.clone(), &live(&catalog, &["a"]), NonZeroU32::MIN);
    assert_eq!(reason(&router, &need, &[]).0, "not_configured");
    router.update(catalog.clone(), &live(&catalog, &[]), NonZeroU32::MIN);
    assert_eq!(reason(&router, &need, &[]).0, "breaker_open");
}
