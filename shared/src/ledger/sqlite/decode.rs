//! From columns to the domain's types. What this version does not understand is said, never guessed.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::domain::{Cursor, LogEntry, RunId, TenantId, Timestamp, WorkerId};
use crate::ledger::LedgerError;

pub(super) fn run(row: &SqliteRow, column: &str) -> Result<RunId, LedgerError> {
    Ok(row.try_get::<Uuid, _>(column)?.into())
}

pub(super) fn worker(row: &SqliteRow, column: &str) -> Result<WorkerId, LedgerError> {
    Ok(row.try_get::<Uuid, _>(column)?.into())
}

pub(super) fn moment(row: &SqliteRow, column: &str) -> Result<Timestamp, LedgerError> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

pub(super) fn tenant(row: &SqliteRow, column: &str) -> Result<TenantId, LedgerError> {
    let name: &str = row.try_get(column)?;
    name.parse()
        .map_err(|error| LedgerError::Corrupt(format!("tenant `{name}`: {error}")))
}

/// An enum stored by its name.
pub(super) fn named<T>(row: &SqliteRow, column: &str) -> Result<T, LedgerError>
where
    T: std::str::FromStr,
    LedgerError: From<T::Err>,
{
    Ok(row.try_get::<&str, _>(column)?.parse()?)
}

/// An entry from the columns `epoch`, `seq`, `type`, `at`, `data`.
pub(super) fn entry(row: &SqliteRow) -> Result<LogEntry, LedgerError> {
    Ok(LogEntry {
        cursor: Cursor::new(row.try_get("epoch")?, row.try_get("seq")?),
        kind: named(row, "type")?,
        at: moment(row, "at")?,
        data: row.try_get::<&str, _>("data")?.into(),
    })
}

/// The place in a batch that a row is about.
pub(super) fn place(row: &SqliteRow) -> Result<usize, LedgerError> {
    let place: i64 = row.try_get("place")?;
    usize::try_from(place).map_err(|_| LedgerError::Corrupt(format!("no batch has a place {place}")))
}
