//! The report of a choice: complete, bounded, and in a form the log can keep.

use serde_json::json;

use super::super::need::{Abilities, Need};
use super::super::report::LISTED;
use super::stage::{alike, answer, at, id, model, provider, router};

#[test]
fn it_lists_the_chosen_one_first_then_the_best_then_those_passed_over() {
    let text = alike(4) + &provider("z", "") + &model("z", "m", "capabilities = [\"embeddings\"]");
    let router = router(&text);
    answer(
        router.choose(&Need::plain("b/m"), &[], at(0), 1).unwrap(),
        at(0),
        9_000,
    );
    answer(
        router.choose(&Need::plain("c/m"), &[], at(0), 1).unwrap(),
        at(0),
        900,
    );
    let choice = router.choose(&Need::plain("m"), &[], at(9_000), 3).unwrap();
    let report = &choice.report;
    assert_eq!(report.candidates.len(), 5);
    assert_eq!(
        format!("{}/{}", report.candidates[0].provider, report.candidates[0].model),
        id(&choice)
    );
    let scores: Vec<_> = report.candidates[1..4]
        .iter()
        .map(|one| one.score.unwrap())
        .collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_eq!(report.candidates[4].passed_over, Some("capability:chat"));
    assert_eq!((report.candidates[4].score, report.more), (None, 0));
    assert_eq!(
        report.why,
        "one of 3 nearly as good as the best of 4 by policy balanced"
    );
}

#[test]
fn it_writes_out_twelve_and_counts_all() {
    let mut text = provider("a", "") + &provider("b", "");
    for index in 0..40 {
        text += &model(
            "a",
            &format!("m{index}"),
            "aliases = [\"m\"]\ncapabilities = [\"chat\"]",
        );
        text += &model(
            "b",
            &format!("n{index}"),
            "aliases = [\"m\"]\ncontext_window = 10",
        );
    }
    let router = router(&text);
    let mut need = Need::plain("m");
    need.input_tokens = 100;
    let report = router.choose(&need, &[], at(0), 1).unwrap().report;
    assert_eq!((report.candidates.len(), report.more), (LISTED, 80 - 12));
    assert_eq!(report.passed_over["context_window"], 40);
    assert!(
        report
            .candidates
            .iter()
            .all(|candidate| candidate.score.is_some())
    );
    assert!(serde_json::to_string(&report).unwrap().len() < 4_096);
    need.abilities.set(Abilities::TOOLS, true);
    let none = router.choose(&need, &[], at(0), 1).unwrap_err();
    assert_eq!(none.report.passed_over["context_window"], 40);
    assert_eq!(
        (none.report.candidates.len(), none.report.more),
        (LISTED, 80 - 12)
    );
}

#[test]
fn the_form_in_the_log() {
    let router = router(&(provider("a", "") + &model("a", "m", "")));
    let mut need = Need::plain("m");
    need.input_tokens = 1_000;
    answer(router.choose(&need, &[], at(0), 1).unwrap(), at(0), 1_000);
    let report = router.choose(&need, &[], at(1_000), 1).unwrap().report;
    let expected = json!({
        "asked": "m",
        "policy": "balanced",
        "why": "the only candidate that can take it",
        "candidates": [{
            "provider": "a", "model": "m", "score": report.candidates[0].score,
            "first_token_ms": 500.0, "tokens_per_second": 200.0, "error_rate": 0.0083, "in_flight": 0,
            "headroom": 1.0, "breaker": "closed", "quality": 3, "cost_usd": 0.003_048,
        }],
    });
    let written: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    let exact = |value: &serde_json::Value| value["candidates"][0]["error_rate"].as_f64().unwrap();
    assert!((exact(&written) - 0.0083).abs() < 1e-6);
    let mut written = written;
    written["candidates"][0]["error_rate"] = json!(0.0083);
    let mut expected = expected;
    expected["candidates"][0]["score"] = written["candidates"][0]["score"].clone();
    assert_eq!(written, expected);
}

#[test]
fn an_explanation_takes_nothing() {
    let router = router(&(provider("a", "limits = { rpm = 6, concurrency = 1 }") + &model("a", "m", "")));
    for _ in 0..10 {
        let report = router.explain(&Need::plain("m"), at(0));
        assert!(report.candidates[0].score.is_some());
    }
    assert!(router.choose(&Need::plain("m"), &[], at(0), 1).is_ok());
}
