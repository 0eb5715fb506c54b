//! The rules, each a function from sources to the places that break it. Pure, so that `samples` can show each of
//! them what it must refuse. What a rule is for is said where it is held, in `main`.

use std::collections::BTreeMap;

use crate::source::Source;

/// The modules of `shared`, and which others each may name. `domain` reads no clock: time is handed to it.
const FLOORS: [(&str, &[&str]); 10] = [
    ("catalog", &["clock", "config", "domain", "telemetry"]),
    ("clock", &["domain"]),
    ("config", &["clock", "domain", "telemetry"]),
    ("telemetry", &["clock", "config", "domain"]),
    ("domain", &["telemetry"]),
    ("ledger", &["clock", "config", "domain", "telemetry"]),
    ("redis_link", &["config", "telemetry"]),
    (
        "dispatch",
        &["clock", "config", "domain", "ledger", "redis_link", "telemetry"],
    ),
    (
        "feed",
        &["clock", "config", "domain", "ledger", "redis_link", "telemetry"],
    ),
    (
        "watch",
        &[
            "clock",
            "config",
            "dispatch",
            "domain",
            "feed",
            "ledger",
            "telemetry",
        ],
    ),
];

/// What reaches outside the process, and so has no place in `domain`.
const IO_CRATES: [&str; 12] = [
    "async_openai",
    "axum",
    "fail",
    "hyper",
    "redis",
    "reqwest",
    "sea_orm",
    "sea_orm_migration",
    "sqlx",
    "tokio",
    "tokio_tungstenite",
    "tokio_util",
];
const IO_STD: [&str; 5] = ["env", "fs", "net", "process", "thread"];

const DATABASE: [&str; 4] = ["migrations", "sea_orm", "sea_orm_migration", "sqlx"];

/// `(package, dependency)` arrows between crates of the workspace that `allowed` does not have.
pub(crate) fn arrows(
    drawn: &BTreeMap<String, Vec<String>>,
    allowed: &[(&str, &[&str])],
    kind: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    for (package, dependencies) in drawn {
        let Some((_, may)) = allowed.iter().find(|(name, _)| name == package) else {
            found.push(format!("{package}: a crate that the rule does not know"));
            continue;
        };
        for dependency in dependencies {
            if !may.contains(&dependency.as_str()) {
                found.push(format!("{package} → {dependency} ({kind})"));
            }
        }
    }
    found
}

/// Imports inside `shared` that do not go down.
pub(crate) fn floors(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        // The crate's root names all floors: it declares them.
        let Some(floor) = source.module().into_iter().next() else {
            continue;
        };
        let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
            found.push(source.at(1, &format!("`{floor}` has no place among the floors")));
            continue;
        };
        for path in &source.scan().paths {
            let Some(target) = path.within_crate().and_then(|path| path.into_iter().next()) else {
                continue;
            };
            let is_floor = FLOORS.iter().any(|(name, _)| *name == target);
            if is_floor && target != floor && !below.contains(&target.as_str()) {
                found.push(source.at(path.place.line, &format!("{floor} → {target}")));
            }
        }
    }
    found
}

/// I/O named in `domain`.
pub(crate) fn pure_domain(sources: &[Source]) -> Vec<String> {
    paths(sources, |source, path| {
        let first = path.what.first().map_or("", String::as_str);
        let second = path.what.get(1).map_or("", String::as_str);
        source.path.starts_with("shared/src/domain")
            && path.what.len() > 1
            && (IO_CRATES.contains(&first) || (first == "std" && IO_STD.contains(&second)))
    })
}

/// The database named outside the ledger. Tests may: they make one, and break it.
pub(crate) fn database_free(sources: &[Source]) -> Vec<String> {
    paths(sources, |source, path| {
        let ledger = source.path.starts_with("shared/src/ledger");
        let first = path.what.first().map_or("", String::as_str);
        !ledger && !path.place.in_test && path.what.len() > 1 && DATABASE.contains(&first)
    })
}

/// Problem documents made elsewhere than in `problem`. The OpenAPI attributes and tests may say their media type.
pub(crate) fn one_problem(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !source.module().contains(&"problem".to_owned()))
    {
        for literal in &source.scan().literals {
            let shipped = !literal.place.in_attribute && !literal.place.in_test;
            if shipped && literal.what.contains("application/problem+json") {
                found.push(source.at(literal.place.line, &literal.what));
            }
        }
    }
    found
}

/// The wall clock read elsewhere than in a crate's module `clock`.
pub(crate) fn one_clock(sources: &[Source]) -> Vec<String> {
    const READINGS: [[&str; 2]; 4] = [
        ["SystemTime", "now"],
        ["Utc", "now"],
        ["Local", "now"],
        ["OffsetDateTime", "now_utc"],
    ];
    paths(sources, |source, path| {
        let clock = ["shared/src/clock.rs", "simulator/src/clock.rs"].contains(&source.path.as_str());
        !clock
            && !path.place.in_attribute
            && (path.what.first().is_some_and(|name| name == "chrono")
                || READINGS.iter().any(|reading| path.contains(reading)))
    })
}

/// Tasks that nobody can wait for, their handle being dropped.
pub(crate) fn loose_tasks(sources: &[Source]) -> Vec<String> {
    const SPAWNS: [[&str; 2]; 4] = [
        ["task", "spawn"],
        ["task", "spawn_blocking"],
        ["thread", "spawn"],
        ["tokio", "spawn"],
    ];
    let mut found = Vec::new();
    for source in sources {
        for call in &source.scan().dropped {
            if !call.place.in_test && SPAWNS.iter().any(|spawn| call.contains(spawn)) {
                found.push(source.at(call.place.line, &call.what.join("::")));
            }
        }
    }
    found
}

/// Files that do not open by saying what they are for.
pub(crate) fn unexplained(sources: &[Source]) -> Vec<String> {
    let opens = |source: &&Source| !source.text.trim_start().starts_with("//!");
    sources
        .iter()
        .filter(opens)
        .map(|source| source.at(1, "no `//!`"))
        .collect()
}

/// Files and folders named after nothing.
pub(crate) fn attics(sources: &[Source]) -> Vec<String> {
    const ATTICS: [&str; 7] = ["common", "helper", "helpers", "misc", "types", "util", "utils"];
    let is_attic = |source: &&Source| {
        source
            .path
            .trim_end_matches(".rs")
            .split('/')
            .any(|name| ATTICS.contains(&name))
    };
    sources
        .iter()
        .filter(is_attic)
        .map(|source| source.at(1, "says nothing about what is inside"))
        .collect()
}

/// Files longer than `limit` lines.
pub(crate) fn too_long(sources: &[Source], limit: usize) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    sources
        .iter()
        .filter(|source| lines(source) > limit)
        .map(|source| {
            source.at(
                lines(source),
                &format!("{} lines, {limit} at most", lines(source)),
            )
        })
        .collect()
}

/// Work left for later, and warnings silenced.
pub(crate) fn unfinished(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|word| matches!(word, "TODO" | "FIXME" | "XXX")) {
                found.push(source.at(index + 1, line.trim()));
            }
        }
        for called in &source.scan().macros {
            if matches!(called.what.as_str(), "dbg" | "todo" | "unimplemented") {
                found.push(source.at(called.place.line, &format!("{}!", called.what)));
            }
        }
        for path in &source.scan().paths {
            if path.place.in_attribute && path.what == ["allow"] {
                found.push(source.at(path.place.line, "#[allow]"));
            }
        }
    }
    found
}

/// The places of all paths that are refused.
fn paths(
    sources: &[Source],
    refused: impl Fn(&Source, &crate::scan::Found<crate::scan::Path>) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for path in &source.scan().paths {
            if refused(source, path) {
                found.push(source.at(path.place.line, &path.what.join("::")));
            }
        }
    }
    found
}
