//! The rules of the house, held by a test instead of by good will: which crate and module may know which, what is
//! done in one place only, and how a file has to look. They read the source tree and the manifests, and never run
//! the code. Each rule is shown in `samples` to refuse what it is meant to refuse.
//!
//! A rule that is in the way of a good change is changed here, in the same commit, and in `docs/ARCHITECTURE.md`.

// Tells clippy that helpers, too, are test code.
#![cfg(test)]

mod rules;
mod samples;
mod scan;
mod source;

use std::{collections::BTreeMap, process::Command};

use source::{CRATES, hold, root, shipped, tests};

/// A roof, two wings, one foundation: who may depend on whom.
const ARROWS: [(&str, &[&str]); 6] = [
    ("mcpctl", &["api", "migrations", "shared", "simulator", "worker"]),
    ("api", &["shared"]),
    ("worker", &["shared"]),
    ("shared", &[]),
    ("migrations", &[]),
    ("simulator", &[]),
];

/// What their tests may use besides: a database to migrate, a provider to call.
const TEST_ARROWS: [(&str, &[&str]); 6] = [
    ("mcpctl", &["api", "migrations", "shared", "simulator", "worker"]),
    ("api", &["migrations", "shared"]),
    ("worker", &["migrations", "shared", "simulator"]),
    ("shared", &["migrations"]),
    ("migrations", &[]),
    ("simulator", &[]),
];

#[test]
fn crates_depend_downwards() {
    let mut found = rules::arrows(&drawn_arrows(false), &ARROWS, "dependency");
    found.extend(rules::arrows(&drawn_arrows(true), &TEST_ARROWS, "dev-dependency"));
    hold(
        "cli → api, worker, migrations, simulator, shared; api → shared ← worker; nothing else",
        "move what both sides need down into `shared`, or hand it in from `cli`, which sees both",
        &found,
    );
}

#[test]
fn shared_imports_go_down() {
    hold(
        "Inside shared: domain ▸ ledger ▸ dispatch, feed ▸ watch; config, telemetry and clock stand apart",
        "move the name to the lower floor, or pass the value in; a new module gets its place in FLOORS",
        &rules::floors(&shipped(&["shared"])),
    );
}

#[test]
fn domain_does_no_io() {
    hold(
        "shared::domain names no I/O: it is what can be tested without anything running",
        "let the floor above do the I/O and hand the domain its result",
        &rules::pure_domain(&shipped(&["shared"])),
    );
}

#[test]
fn only_the_ledger_touches_the_database() {
    hold(
        "Only shared::ledger names the database",
        "give the ledger's role an operation that says what is wanted, and call it",
        &rules::database_free(&shipped(&["api", "shared", "worker"])),
    );
}

#[test]
fn problems_are_made_in_one_place() {
    hold(
        "In api, only `problem` makes application/problem+json",
        "return an error that `problem` maps; what its status and code are is said there",
        &rules::one_problem(&shipped(&["api"])),
    );
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    hold(
        "Only a module `clock` reads the wall clock",
        "take the time as an argument, or ask `shared::clock`; for durations use `Instant`",
        &rules::one_clock(&shipped(&CRATES)),
    );
}

#[test]
fn every_task_is_waited_for() {
    hold(
        "No task is loose: who starts one can also wait for its end",
        "spawn it on the `TaskTracker` (or `JoinSet`) of its owner, with the shutdown token, or keep its handle",
        &rules::loose_tasks(&shipped(&CRATES)),
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut found = rules::unexplained(&shipped(&CRATES));
    found.extend(rules::unexplained(&tests()));
    hold(
        "Every module opens with `//!`",
        "say what it is for, and what it must never do",
        &found,
    );
}

#[test]
fn no_file_is_an_attic() {
    let mut found = rules::attics(&shipped(&CRATES));
    found.extend(rules::attics(&tests()));
    hold(
        "No utils, common, helpers, misc, types",
        "name the file after the one thing it is about",
        &found,
    );
}

#[test]
fn files_stay_small() {
    let mut found = rules::too_long(&shipped(&CRATES), 500);
    found.extend(rules::too_long(&tests(), 700));
    hold(
        "A file has one reason to exist, and fits in a head",
        "find the seam",
        &found,
    );
}

#[test]
fn nothing_is_left_unfinished() {
    hold(
        "No TODO, no dbg!, no #[allow]",
        "finish it, or leave it out; a lint that is wrong here gets #[expect(..., reason = \"...\")]",
        &rules::unfinished(&shipped(&CRATES)),
    );
}

/// The rules judge what they find; this sees to it that they find something.
#[test]
fn the_tree_is_where_it_is_looked_for() {
    for name in CRATES {
        assert!(!shipped(&[name]).is_empty(), "no source in {name}/src");
    }
    let packages: Vec<String> = drawn_arrows(false).into_keys().collect();
    assert_eq!(
        packages,
        ["api", "mcpctl", "migrations", "shared", "simulator", "worker"]
    );
}

/// Which crates of the workspace each of them depends on, as cargo reads the manifests.
fn drawn_arrows(of_tests: bool) -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"]);
            let inside = dependencies
                .iter()
                .filter(|dependency| dependency["path"].is_string());
            let of_kind = inside.filter(|dependency| (dependency["kind"] == "dev") == of_tests);
            (name(package), of_kind.map(name).collect())
        })
        .collect()
}
