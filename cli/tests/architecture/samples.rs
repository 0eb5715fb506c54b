//! Shows every rule what it must refuse, and what looks like it and is fine: a rule that cannot fail holds nothing.

use std::collections::BTreeMap;

use crate::{rules, source::Source};

/// The lines on which the rule finds something in a file of this path.
fn lines(rule: impl Fn(&[Source]) -> Vec<String>, path: &str, text: &str) -> Vec<usize> {
    rule(&[Source::new(path, text)])
        .iter()
        .map(|found| {
            found
                .strip_prefix(path)
                .unwrap()
                .split(':')
                .nth(1)
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
}

#[test]
fn an_arrow_that_is_not_allowed() {
    let drawn = BTreeMap::from([
        ("api".to_owned(), vec!["shared".to_owned(), "worker".to_owned()]),
        ("attic".to_owned(), vec![]),
    ]);
    let found = rules::arrows(&drawn, &[("api", &["shared"])], "dependency");
    assert_eq!(
        found,
        [
            "api → worker (dependency)",
            "attic: a crate that the rule does not know"
        ]
    );
}

#[test]
fn an_import_that_goes_up() {
    let text = "\
//! Speaks of [`crate::watch`], which is no import.
use crate::{domain::Run, feed::{Feed, Topic}};
const NAME: &str = \"crate::watch\";
mod inner {
    use super::super::super::watch;
    fn up() -> crate::dispatch::Hint<crate::watch::Stream> {}
}
";
    assert_eq!(
        lines(rules::floors, "shared/src/ledger/sqlite.rs", text),
        [2, 2, 5, 6, 6]
    );
}

#[test]
fn siblings_and_clocks() {
    assert_eq!(
        lines(rules::floors, "shared/src/feed.rs", "use crate::dispatch;"),
        [1]
    );
    assert_eq!(
        lines(
            rules::floors,
            "shared/src/dispatch/mod.rs",
            "use super::feed::Feed;"
        ),
        [1]
    );
    assert_eq!(
        lines(rules::floors, "shared/src/config/mod.rs", "use crate::ledger;"),
        [1]
    );
    assert_eq!(
        lines(
            rules::floors,
            "shared/src/domain/run.rs",
            "use crate::clock::now;"
        ),
        [1]
    );
    assert_eq!(lines(rules::floors, "shared/src/attic.rs", ""), [1]);
    assert!(lines(rules::floors, "shared/src/lib.rs", "use crate::watch;").is_empty());
    assert!(
        lines(
            rules::floors,
            "shared/src/watch.rs",
            "use crate::{dispatch, feed::Feed};"
        )
        .is_empty()
    );
    assert!(
        lines(
            rules::floors,
            "shared/src/ledger/mod.rs",
            "use super::ledger::sqlite;"
        )
        .is_empty()
    );
}

#[test]
fn io_in_the_domain() {
    let text = "use std::{fmt, fs::File};\nfn wait() { tokio::time::sleep(x) }\nlet tokio = fs;";
    assert_eq!(
        lines(rules::pure_domain, "shared/src/domain/run.rs", text),
        [1, 2]
    );
    assert!(lines(rules::pure_domain, "shared/src/ledger/mod.rs", text).is_empty());
}

#[test]
fn the_database_beside_the_ledger() {
    let text = "\
use sea_orm::Entity;
fn query() { sqlx::query(x) }
#[cfg(test)]
mod tests {
    use migrations::Migrator;
}
use migrations::Migrator;
";
    assert_eq!(
        lines(rules::database_free, "api/src/routes/submit.rs", text),
        [1, 2, 7]
    );
}

#[test]
fn a_problem_made_elsewhere() {
    let text = "\
#[path(content_type = \"application/problem+json\")]
fn handler() { header(\"application/problem+json\") }
#[cfg(test)]
fn check() { assert_eq!(media_type, \"application/problem+json\") }
";
    assert_eq!(lines(rules::one_problem, "api/src/routes/submit.rs", text), [2]);
    assert!(lines(rules::one_problem, "api/src/problem.rs", text).is_empty());
}

#[test]
fn the_wall_clock_elsewhere() {
    let text = "use std::time::SystemTime;\nlet now = SystemTime::now();\nlet now = std::time::SystemTime::now();\n\
        let now = Instant::now();";
    assert_eq!(lines(rules::one_clock, "worker/src/pool.rs", text), [2, 3]);
    assert!(lines(rules::one_clock, "shared/src/clock.rs", text).is_empty());
}

#[test]
fn a_loose_task() {
    let text = "\
fn start() {
    tokio::spawn(work);
    if idle { return; }
    std::thread::spawn(|| work());
    tracker.spawn(work);
    let task = tokio::spawn(work);
    tokio::task::spawn(work)
}
#[cfg(test)]
mod tests {
    fn start() { tokio::spawn(work); }
}
";
    assert_eq!(lines(rules::loose_tasks, "worker/src/pool.rs", text), [2, 4]);
}

#[test]
fn a_file_without_a_purpose() {
    assert_eq!(
        lines(
            rules::unexplained,
            "api/src/lib.rs",
            "// A comment.\nfn main() {}"
        ),
        [1]
    );
    assert!(lines(rules::unexplained, "api/src/lib.rs", "\n//! What it is for.").is_empty());
    assert_eq!(lines(rules::attics, "api/tests/common/mod.rs", ""), [1]);
    assert_eq!(lines(rules::attics, "api/src/utils.rs", ""), [1]);
    assert!(lines(rules::attics, "api/src/commonplace.rs", "").is_empty());
}

#[test]
fn a_file_without_an_end() {
    let rule = |sources: &[Source]| rules::too_long(sources, 2);
    assert_eq!(lines(rule, "api/src/lib.rs", "a\nb\nc\n"), [3]);
    assert!(lines(rule, "api/src/lib.rs", "a\nb\n").is_empty());
}

#[test]
fn work_left_for_later() {
    let text = "\
// TODO: later
#![allow(dead_code)]
#[cfg_attr(test, allow(unused))]
fn later() { todo!(\"x\"); std::dbg!(x); x.allow(y); if todo != dbg {} }
fn expected() { #[expect(unused, reason = \"it is a sample\")] let mastodon = 1; }
";
    assert_eq!(lines(rules::unfinished, "api/src/lib.rs", text), [1, 4, 4, 2, 3]);
}
