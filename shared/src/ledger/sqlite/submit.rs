//! Accepting and cancelling runs.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::closing::{cancellation, cancelled, carry_out};
use super::{Sqlite, decode, read_clock, rows};
use crate::domain::{Cursor, EventType, LogEntry, RunId, Status, Timestamp};
use crate::ledger::{AcceptOutcome, CancelOutcome, LedgerError, NewRun, Submit};

#[async_trait]
impl Submit for Sqlite {
    async fn accept(&self, runs: &[NewRun]) -> Result<Vec<AcceptOutcome>, LedgerError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let runs: Arc<[NewRun]> = runs.into();
        match self.accept_together(&runs, 0..runs.len()).await {
            Err(LedgerError::Refused(_)) => self.accept_singly(&runs).await,
            outcome => outcome,
        }
    }

    async fn cancel(&self, run: RunId, by: &str) -> Result<CancelOutcome, LedgerError> {
        let by = by.to_owned();
        self.writer
            .run(move |connection| cancel(connection, run, &by))
            .await
    }
}

impl Sqlite {
    /// These runs in one transaction, or nothing of them.
    async fn accept_together(
        &self,
        runs: &Arc<[NewRun]>,
        range: Range<usize>,
    ) -> Result<Vec<AcceptOutcome>, LedgerError> {
        let runs = Arc::clone(runs);
        self.writer
            .run(move |connection| {
                let now = read_clock(connection)?;
                let mut outcomes = Vec::with_capacity(range.len());
                for run in &runs[range] {
                    outcomes.push(accept(connection, now, run)?);
                }
                Ok(outcomes)
            })
            .await
    }

    /// Each run in a transaction of its own.
    async fn accept_singly(&self, runs: &Arc<[NewRun]>) -> Result<Vec<AcceptOutcome>, LedgerError> {
        let mut outcomes = Vec::with_capacity(runs.len());
        for place in 0..runs.len() {
            match self.accept_together(runs, place..place + 1).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(LedgerError::Refused(why)) => outcomes.push(AcceptOutcome::Refused(why)),
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }
}

fn accept(connection: &Connection, now: Timestamp, run: &NewRun) -> Result<AcceptOutcome, LedgerError> {
    if !rows::insert_run(connection, now, run)? {
        return look_up(connection, run);
    }
    let entry = LogEntry {
        cursor: Cursor::QUEUED,
        kind: EventType::RunQueued,
        at: now,
        data: run.queued_data(),
    };
    rows::insert_entry(connection, run.id, &entry)?;
    Ok(AcceptOutcome::Accepted { created_at: now })
}

/// ?1 run.
pub(super) const SAME_ID: &str = "SELECT created_at FROM mcp_request WHERE id = ?1";
/// ?1 tenant, ?2 key.
pub(super) const SAME_KEY: &str = "SELECT id, body_hmac FROM mcp_request INDEXED BY mcp_request_idempotency WHERE tenant = ?1 AND idempotency_key = ?2";

/// What is known of a run that could not be inserted.
fn look_up(connection: &Connection, run: &NewRun) -> Result<AcceptOutcome, LedgerError> {
    // A row with this very id: it is this accept, repeated.
    let same = &mut connection.prepare_cached(SAME_ID)?;
    let repeated = decode::optional(same, [run.id.uuid()], |row| decode::moment(row, "created_at"))?;
    if let Some(created_at) = repeated {
        return Ok(AcceptOutcome::Accepted { created_at });
    }
    if let Some(idempotency) = &run.idempotency {
        let same = &mut connection.prepare_cached(SAME_KEY)?;
        let earlier = decode::optional(same, params![run.tenant.as_str(), idempotency.key], |row| {
            let body: Vec<u8> = row.get("body_hmac")?;
            Ok((decode::run(row, "id")?, body))
        })?;
        if let Some((earlier, body)) = earlier {
            return Ok(if body == idempotency.body_hmac {
                AcceptOutcome::Duplicate(earlier)
            } else {
                AcceptOutcome::KeyReused(earlier)
            });
        }
    }
    Err(LedgerError::Corrupt(format!(
        "{} was neither new nor known",
        run.id
    )))
}

/// ?1 run, ?2 now, ?3 by whom. Who asked first stays the one who asked.
pub(super) const CANCEL: &str = "\
UPDATE mcp_request SET cancel_at = coalesce(cancel_at, ?2), cancel_by = coalesce(cancel_by, ?3) \
WHERE id = ?1 AND status IN ('queued', 'running') RETURNING status, epoch, simulated, cancel_by";

fn cancel(connection: &Connection, run: RunId, by: &str) -> Result<CancelOutcome, LedgerError> {
    let now = read_clock(connection)?;
    let marking = &mut connection.prepare_cached(CANCEL)?;
    let open = decode::all(marking, params![run.uuid(), now.millis(), by], |row| {
        if decode::named::<Status>(row, "status")? == Status::Running {
            return Ok(None);
        }
        let by: String = row.get("cancel_by")?;
        let simulated = row.get("simulated")?;
        Ok(Some(cancellation(row.get("epoch")?, &by, simulated, now)))
    })?;
    match open.into_iter().next() {
        Some(None) => Ok(CancelOutcome::Requested),
        Some(Some(entry)) => {
            carry_out(connection, now, vec![cancelled(run, entry.clone())])?;
            Ok(CancelOutcome::Cancelled(entry))
        }
        None => {
            let ended = &mut connection.prepare_cached("SELECT status FROM mcp_request WHERE id = ?1")?;
            let status = decode::optional(ended, [run.uuid()], |row| decode::named(row, "status"))?;
            Ok(status.map_or(CancelOutcome::Unknown, CancelOutcome::Ended))
        }
    }
}
