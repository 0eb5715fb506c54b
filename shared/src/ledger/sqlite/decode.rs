//! From columns to the domain's types. What this version does not understand is said, never guessed.

use rusqlite::{CachedStatement, Params, Row};
use uuid::Uuid;

use crate::domain::{Cursor, LogEntry, RunId, TenantId, Timestamp, WorkerId};
use crate::ledger::LedgerError;

/// Every row that a statement answers.
pub(super) fn all<T>(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    decode: impl FnMut(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    statement.query_and_then(params, decode)?.collect()
}

/// The row that a statement answers, if any. For statements that only read: one that writes is to be stepped to its end.
pub(super) fn optional<T>(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    decode: impl FnOnce(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Option<T>, LedgerError> {
    statement.query(params)?.next()?.map(decode).transpose()
}

pub(super) fn run(row: &Row<'_>, column: &str) -> Result<RunId, LedgerError> {
    Ok(row.get::<_, Uuid>(column)?.into())
}

pub(super) fn worker(row: &Row<'_>, column: &str) -> Result<WorkerId, LedgerError> {
    Ok(row.get::<_, Uuid>(column)?.into())
}

pub(super) fn moment(row: &Row<'_>, column: &str) -> Result<Timestamp, LedgerError> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

pub(super) fn tenant(row: &Row<'_>, column: &str) -> Result<TenantId, LedgerError> {
    let name = text(row, column)?;
    name.parse()
        .map_err(|error| LedgerError::Corrupt(format!("tenant `{name}`: {error}")))
}

/// An enum stored by its name.
pub(super) fn named<T>(row: &Row<'_>, column: &str) -> Result<T, LedgerError>
where
    T: std::str::FromStr,
    LedgerError: From<T::Err>,
{
    Ok(text(row, column)?.parse()?)
}

/// An entry from the columns `epoch`, `seq`, `type`, `at`, `data`.
pub(super) fn entry(row: &Row<'_>) -> Result<LogEntry, LedgerError> {
    Ok(LogEntry {
        cursor: Cursor::new(row.get("epoch")?, row.get("seq")?),
        kind: named(row, "type")?,
        at: moment(row, "at")?,
        data: text(row, "data")?.into(),
    })
}

fn text<'row>(row: &'row Row<'_>, column: &str) -> Result<&'row str, LedgerError> {
    row.get_ref(column)?
        .as_str()
        .map_err(|error| LedgerError::Corrupt(format!("{column}: {error}")))
}
