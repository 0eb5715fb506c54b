//! What names stand for: ids, aliases, splits, chains, `auto`, and names that nobody lists.

use std::collections::BTreeMap;

use super::super::candidates::Tried;
use super::super::need::{Abilities, Need};
use super::super::plan::{Choice, Router, RouterSettings};
use super::stage::{alike, at, id, model, provider, router, router_but};

fn choose(router: &Router, model: &str, tried: &[(&str, &str)], seed: u64) -> Choice {
    let tried: Vec<Tried> = tried
        .iter()
        .map(|(provider, model)| Tried {
            provider: (*provider).to_owned(),
            model: (*model).to_owned(),
        })
        .collect();
    router.choose(&Need::plain(model), &tried, at(0), seed).unwrap()
}

fn chosen(router: &Router, model: &str, seeds: u64) -> BTreeMap<String, u32> {
    let mut times = BTreeMap::new();
    for seed in 0..seeds {
        *times.entry(id(&choose(router, model, &[], seed))).or_insert(0) += 1;
    }
    times
}

#[test]
fn an_id_names_one_and_a_name_all_who_have_it() {
    let text = alike(2) + &model("b", "other", "aliases = [\"m\"]");
    let router = router(&text);
    assert_eq!(chosen(&router, "a/m", 20).len(), 1);
    let all: Vec<String> = chosen(&router, "M", 100).into_keys().collect();
    assert_eq!(all, ["a/m", "b/m", "b/other"]);
}

#[test]
fn a_split_is_drawn_by_weight_and_its_other_targets_stand_in() {
    let text =
        alike(3) + "[aliases.fast]\ntargets = [{ model = \"a/m\", weight = 3 }, { model = \"b/m\" }]\n";
    let router = router(&text);
    let times = chosen(&router, "fast", 4_000);
    assert!((2_850..3_150).contains(&times["a/m"]), "{times:?}");
    assert_eq!(times["a/m"] + times["b/m"], 4_000);
    for seed in 0..20 {
        assert_eq!(id(&choose(&router, "fast", &[("a", "m")], seed)), "b/m");
    }
    let choice = choose(&router, "fast", &[("a", "m")], 1);
    assert_eq!(choice.report.resolved.as_deref(), Some("b/m"));
}

#[test]
fn a_chain_is_followed_in_its_order() {
    let text = alike(3) + "[chains]\nsafe = [\"c/m\", \"a/m\", \"b/m\"]\n";
    let router = router(&text);
    assert_eq!(chosen(&router, "safe", 50).len(), 1);
    assert_eq!(id(&choose(&router, "safe", &[], 1)), "c/m");
    assert_eq!(id(&choose(&router, "safe", &[("c", "m")], 1)), "a/m");
    assert_eq!(id(&choose(&router, "safe", &[("c", "m"), ("a", "m")], 1)), "b/m");
}

#[test]
fn a_chain_goes_on_where_nobody_can() {
    let text = provider("a", "")
        + &model("a", "blind", "capabilities = [\"chat\"]")
        + &model("a", "seeing", "")
        + "[chains]\nc = [\"blind\", \"seeing\"]\n";
    let router = router(&text);
    let mut need = Need::plain("c");
    assert_eq!(id(&router.choose(&need, &[], at(0), 1).unwrap()), "a/blind");
    need.abilities.set(Abilities::VISION, true);
    let choice = router.choose(&need, &[], at(0), 1).unwrap();
    assert_eq!(id(&choice), "a/seeing");
    assert_eq!(choice.report.passed_over["capability:vision"], 1);
}

#[test]
fn the_requests_own_fallbacks_come_after_its_model() {
    let router = router(&alike(3));
    let mut need = Need::plain("b/m");
    need.fallbacks = vec!["unknown".to_owned(), "c/m".to_owned()];
    assert_eq!(id(&router.choose(&need, &[], at(0), 1).unwrap()), "b/m");
    let tried = [Tried {
        provider: "b".to_owned(),
        model: "m".to_owned(),
    }];
    assert_eq!(id(&router.choose(&need, &tried, at(0), 1).unwrap()), "c/m");
}

#[test]
fn auto_goes_by_the_task_type() {
    let text = provider("a", "")
        + &model(
            "a",
            "small",
            "quality = 1\nprices = { input = 0.1, output = 0.1 }",
        )
        + &model(
            "a",
            "middle",
            "quality = 2\nprices = { input = 1.0, output = 1.0 }",
        )
        + &model(
            "a",
            "large",
            "quality = 5\nprices = { input = 9.0, output = 9.0 }",
        )
        + &model(
            "a",
            "maths",
            "quality = 5\nprices = { input = 0.2, output = 0.2 }\ntask_types = [\"math\"]",
        )
        + &model("a", "vectors", "quality = 5\ncapabilities = [\"embeddings\"]");
    let router = router(&text);
    let table = [
        ("transform", "a/small"),
        ("chat", "a/middle"),
        ("something-else", "a/middle"),
        ("code", "a/large"),
        ("math", "a/maths"),
    ];
    for (task_type, expected) in table {
        let mut need = Need::plain("auto");
        need.task_type = task_type.to_owned();
        need.policy = crate::routing::policy::Policy::Cheapest;
        let choice = router.choose(&need, &[], at(0), 1).unwrap();
        assert_eq!(id(&choice), expected, "{task_type}");
    }
}

#[test]
fn auto_settles_for_what_there_is() {
    let router = router(&(provider("a", "") + &model("a", "small", "quality = 1")));
    let mut need = Need::plain("auto");
    need.task_type = "code".to_owned();
    assert_eq!(id(&router.choose(&need, &[], at(0), 1).unwrap()), "a/small");
}

#[test]
fn auto_can_be_given_a_meaning() {
    let settings = RouterSettings {
        auto: Some("b/m".to_owned()),
        ..RouterSettings::default()
    };
    let router = router_but(&alike(3), &[], settings);
    assert_eq!(
        chosen(&router, "auto", 20).into_keys().collect::<Vec<_>>(),
        ["b/m"]
    );
}

#[test]
fn a_name_that_nobody_lists_goes_to_who_takes_any_name() {
    let text = alike(1) + &provider("open", "unlisted_models = true");
    let router = router(&text);
    assert_eq!(id(&choose(&router, "brand-new", &[], 1)), "open/brand-new");
    assert_eq!(id(&choose(&router, "a/brand-new", &[], 1)), "a/brand-new");
    // Listed elsewhere, it may still be had there.
    assert_eq!(id(&choose(&router, "m", &[], 1)), "a/m");
    assert_eq!(id(&choose(&router, "m", &[("a", "m")], 1)), "open/m");
}

#[test]
fn names_from_clients_do_not_fill_the_memory() {
    let router = router(&provider("open", "unlisted_models = true"));
    for name in 0..3_000 {
        let choice = choose(&router, &format!("name-{name}"), &[], 1);
        assert_eq!(id(&choice), format!("open/name-{name}"));
    }
    assert!(router.known_models() <= 1_025, "{}", router.known_models());
}
