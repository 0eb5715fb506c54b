//! A catalog file in TOML, read on top of a catalog: what it names anew is added, what it names again is overridden
//! field by field. A file is taken whole or not at all; an error says file, line and reason.

use std::path::Path;

use super::document::Document;
use super::merge::Merge;
use super::{Catalog, built_in};

/// The longest file that is read, in bytes: thousands of models.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct CatalogError {
    /// The file.
    pub file: String,
    /// The line, from 1; none when the whole file is meant.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// What is wrong at a place in a text.
#[derive(Debug)]
pub(super) struct Fault {
    /// The byte at which it begins; none when the whole is meant.
    pub(super) at: Option<usize>,
    /// What is wrong, and what to do.
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn at(at: usize, reason: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            reason: reason.into(),
        }
    }
}

impl Catalog {
    /// The catalog that is compiled in.
    #[must_use]
    pub fn built_in() -> Self {
        built_in::catalog().clone()
    }

    /// This catalog with the file's additions and changes.
    ///
    /// # Errors
    /// When the file cannot be read or says something that cannot be.
    pub fn merge_file(&self, path: &Path) -> Result<Self, CatalogError> {
        let file = path.display().to_string();
        let refused = |reason: String| CatalogError {
            file: file.clone(),
            line: None,
            reason,
        };
        let unreadable = |error: std::io::Error| refused(format!("cannot be read: {error}"));
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > LONGEST {
            return Err(refused(format!(
                "has {length} bytes; a catalog file has {LONGEST} at most"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        self.merge(&file, &text)
    }

    /// This catalog with the additions and changes of a file of this name and text.
    ///
    /// # Errors
    /// When the text says something that cannot be.
    pub fn merge(&self, file: &str, text: &str) -> Result<Self, CatalogError> {
        let document = parse(text).map_err(|fault| locate(file, text, fault))?;
        Merge::onto(self)
            .user_file(document)
            .map_err(|fault| locate(file, text, fault))
    }
}

/// Reads a text as a document.
pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    toml::from_str(text).map_err(|error| Fault {
        at: error.span().map(|span| span.start),
        reason: error
            .message()
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join("; "),
    })
}

fn locate(file: &str, text: &str, fault: Fault) -> CatalogError {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
    CatalogError {
        file: file.to_owned(),
        line: fault.at.map(line),
        reason: fault.reason,
    }
}
