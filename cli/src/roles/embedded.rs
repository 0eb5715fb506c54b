//! The data folder of an embedded installation: its lock, its database, its hash key.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rand::Rng as _;
use shared::config::HashKey;
use shared::ledger::{DataFolder, Ledger};

use super::start;
use crate::exit::CliError;

const HASH_KEY: &str = "hash.key";

/// Takes the folder.
pub(crate) fn lock(path: &Path) -> Result<DataFolder, CliError> {
    DataFolder::lock(path).map_err(|error| start::broken("cannot start", error, "mcpctl up --data DIR"))
}

/// The key that hashes user ids: made once, readable by its owner only. With another key the same user would become
/// another one, so it is never replaced.
pub(crate) fn hash_key(folder: &DataFolder) -> Result<HashKey, CliError> {
    let path = folder.path().join(HASH_KEY);
    let failed = |error: std::io::Error| {
        start::broken(
            format!("cannot use {}", path.display()),
            error,
            "mcpctl up --data DIR",
        )
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0_u8; 32];
            rand::rng().fill_bytes(&mut bytes);
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            // Written beside and renamed, so that there is never half a key.
            let fresh = path.with_extension("new");
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&fresh)
                .map_err(failed)?;
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(failed)?;
            std::fs::rename(&fresh, &path).map_err(failed)?;
            text
        }
        Err(error) => return Err(failed(error)),
    };
    text.trim().parse().map_err(|problem: &str| {
        start::missing(
            &format!("{} {problem}", path.display()),
            "restore that file from a backup",
        )
    })
}

/// Opens the database, brings it up to date, and takes over what an earlier process left behind. Answers how many of
/// its runs were moved.
pub(crate) async fn open(folder: &DataFolder) -> Result<(Ledger, usize), CliError> {
    let path = folder.database();
    let shown = path.display().to_string();
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        start::broken(
            format!("cannot open {shown}"),
            error,
            "mcpctl up --data DIR    (another folder)",
        )
    };
    let ledger = Ledger::open_sqlite(&path)
        .await
        .map_err(|error| failed(error.into()))?;
    migrations::migrate(ledger.connection())
        .await
        .map_err(|error| failed(error.into()))?;
    let moved = worker::duties::reap_predecessors(&ledger)
        .await
        .map_err(|error| failed(error.into()))?;
    Ok((ledger, moved))
}
