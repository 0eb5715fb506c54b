//! The user's catalog file.

use std::path::PathBuf;

use super::Environment;

/// The catalog's section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogConfig {
    /// What is read on top of the catalog that is compiled in; none when there is nothing of the user's own.
    pub file: Option<PathBuf>,
}

impl CatalogConfig {
    /// Reads the section. Whether the file is a good one is found out when it is opened.
    pub fn read(env: &mut Environment) -> Self {
        Self {
            file: env.text("MCP_CATALOG_FILE").map(PathBuf::from),
        }
    }
}
