//! The source tree as the rules see it: files with their text, place and tokens, and the way a rule reports what it
//! found. It reads and never judges; what is not written yet is simply not there.

use std::{
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
};

use crate::scan::Scan;

/// The crates, by the name of their folder.
pub(crate) const CRATES: [&str; 6] = ["api", "cli", "migrations", "shared", "simulator", "worker"];

/// One Rust file.
pub(crate) struct Source {
    /// From the workspace's root, with `/`: `shared/src/ledger/mod.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    scan: OnceCell<Scan>,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            scan: OnceCell::new(),
        }
    }

    /// Its module from the crate's root: `["ledger", "sqlite"]`; empty for the root itself.
    pub(crate) fn module(&self) -> Vec<String> {
        let below_src = self.path.splitn(3, '/').nth(2).unwrap_or_default();
        below_src
            .trim_end_matches(".rs")
            .split('/')
            .filter(|name| !matches!(*name, "lib" | "main" | "mod"))
            .map(str::to_owned)
            .collect()
    }

    /// A file of unit tests, kept beside the code: its parent declares it under `#[cfg(test)]`.
    fn is_unit_tests(&self) -> bool {
        self.module().iter().any(|name| name == "tests")
    }

    pub(crate) fn scan(&self) -> &Scan {
        self.scan.get_or_init(|| match self.text.parse() {
            Ok(tokens) => Scan::of(tokens, self.module(), self.is_unit_tests()),
            Err(error) => panic!("{}: not Rust: {error}", self.path),
        })
    }

    /// What a rule found in this file, for [`hold`].
    pub(crate) fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// The folder that holds all crates.
pub(crate) fn root() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.parent().unwrap_or(cli).to_owned()
}

/// The shipped code of these crates, in the order of their paths.
pub(crate) fn shipped(crates: &[&str]) -> Vec<Source> {
    crates
        .iter()
        .flat_map(|name| below(&format!("{name}/src")))
        .collect()
}

/// The integration tests of all crates.
pub(crate) fn tests() -> Vec<Source> {
    CRATES
        .iter()
        .flat_map(|name| below(&format!("{name}/tests")))
        .collect()
}

fn below(folder: &str) -> Vec<Source> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy()))
        .collect();
    names.sort();
    names
        .into_iter()
        .flat_map(|path| {
            if path.ends_with(".rs") {
                let text = fs::read_to_string(root().join(&path));
                text.into_iter()
                    .map(|text| Source::new(path.clone(), text))
                    .collect()
            } else {
                below(&path)
            }
        })
        .collect()
}

/// Fails with the rule, every place that breaks it and what to do there.
pub(crate) fn hold(rule: &str, remedy: &str, found: &[String]) {
    assert!(
        found.is_empty(),
        "\n{rule}.\n\n{}\n\nWhat to do: {remedy}.\n",
        found.join("\n")
    );
}
