//! Accepting and cancelling runs.

use std::collections::{HashMap, HashSet};
use std::slice;

use async_trait::async_trait;
use sqlx::Row as _;

use super::closing::{cancellation, cancelled, carry_out};
use super::{Sqlite, Transaction, bulk, decode, read_clock};
use crate::domain::{Cursor, EventType, LogEntry, RunId, Status};
use crate::ledger::{AcceptOutcome, CancelOutcome, LedgerError, NewRun, Submit};

#[async_trait]
impl Submit for Sqlite {
    async fn accept(&self, runs: &[NewRun]) -> Result<Vec<AcceptOutcome>, LedgerError> {
        match self.accept_together(runs).await {
            Err(LedgerError::Refused(_)) => self.accept_singly(runs).await,
            outcome => outcome,
        }
    }

    async fn cancel(&self, run: RunId, by: &str) -> Result<CancelOutcome, LedgerError> {
        let mut transaction = self.begin().await?;
        let now = read_clock(&mut transaction).await?;
        // Who asked first stays the one who asked.
        let open = sqlx::query(
            "UPDATE mcp_request SET cancel_at = coalesce(cancel_at, ?2), cancel_by = coalesce(cancel_by, ?3) \
             WHERE id = ?1 AND status IN ('queued', 'running') RETURNING status, epoch, simulated, cancel_by",
        )
        .bind(run.uuid())
        .bind(now.millis())
        .bind(by)
        .fetch_optional(&mut *transaction)
        .await?;
        let outcome = match open {
            None => return self.ended(&mut transaction, run).await,
            Some(row) if decode::named::<Status>(&row, "status")? == Status::Running => {
                CancelOutcome::Requested
            }
            Some(row) => {
                let by = row.try_get("cancel_by")?;
                let entry = cancellation(row.try_get("epoch")?, by, row.try_get("simulated")?, now);
                carry_out(&mut transaction, now, vec![cancelled(run, entry.clone())]).await?;
                CancelOutcome::Cancelled(entry)
            }
        };
        transaction.commit().await?;
        Ok(outcome)
    }
}

impl Sqlite {
    /// Why there was nothing to cancel.
    async fn ended(&self, transaction: &mut Transaction, run: RunId) -> Result<CancelOutcome, LedgerError> {
        let row = sqlx::query("SELECT status FROM mcp_request WHERE id = ?1")
            .bind(run.uuid())
            .fetch_optional(&mut **transaction)
            .await?;
        row.map_or(Ok(CancelOutcome::Unknown), |row| {
            Ok(CancelOutcome::Ended(decode::named(&row, "status")?))
        })
    }

    /// The whole batch in one transaction, or nothing of it.
    async fn accept_together(&self, runs: &[NewRun]) -> Result<Vec<AcceptOutcome>, LedgerError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let now = read_clock(&mut transaction).await?;
        let inserted: HashSet<RunId> = bulk::insert_runs(&mut transaction, now, runs)
            .await?
            .into_iter()
            .collect();
        // A batch that names an id twice inserts it once.
        let mut first = inserted.clone();
        let entries: Vec<(RunId, LogEntry)> = runs
            .iter()
            .filter(|run| first.remove(&run.id))
            .map(|run| {
                let data = run.queued_data();
                (
                    run.id,
                    LogEntry {
                        cursor: Cursor::QUEUED,
                        kind: EventType::RunQueued,
                        at: now,
                        data,
                    },
                )
            })
            .collect();
        let entries: Vec<_> = entries.iter().map(|(run, entry)| (*run, entry)).collect();
        bulk::insert_entries(&mut transaction, &entries).await?;
        let mut known = self.look_up(&mut transaction, runs, &inserted).await?;
        transaction.commit().await?;
        runs.iter()
            .enumerate()
            .map(|(place, run)| {
                if inserted.contains(&run.id) {
                    return Ok(AcceptOutcome::Accepted { created_at: now });
                }
                known
                    .remove(&place)
                    .ok_or_else(|| LedgerError::Corrupt(format!("{} was neither new nor known", run.id)))
            })
            .collect()
    }

    /// What is known of the runs that were not inserted, by their place in the batch.
    async fn look_up(
        &self,
        transaction: &mut Transaction,
        runs: &[NewRun],
        inserted: &HashSet<RunId>,
    ) -> Result<HashMap<usize, AcceptOutcome>, LedgerError> {
        let mut known = HashMap::new();
        let sought: Vec<_> = runs
            .iter()
            .enumerate()
            .filter(|(_, run)| !inserted.contains(&run.id))
            .map(|(place, run)| {
                let key = run
                    .idempotency
                    .as_ref()
                    .map(|idempotency| idempotency.key.as_str());
                (place, run.id.uuid().simple(), run.tenant.as_str(), key)
            })
            .collect();
        if sought.is_empty() {
            return Ok(known);
        }
        for row in sqlx::query(LOOK_UP)
            .bind(bulk::json(&sought))
            .fetch_all(&mut **transaction)
            .await?
        {
            let place = decode::place(&row)?;
            let outcome = if row.try_get("same_id")? {
                AcceptOutcome::Accepted {
                    created_at: decode::moment(&row, "created_at")?,
                }
            } else {
                let earlier = decode::run(&row, "id")?;
                let body: &[u8] = row.try_get("body_hmac")?;
                let asked = runs.get(place).and_then(|run| run.idempotency.as_ref());
                let same_body = asked.is_some_and(|idempotency| idempotency.body_hmac == body);
                if same_body {
                    AcceptOutcome::Duplicate(earlier)
                } else {
                    AcceptOutcome::KeyReused(earlier)
                }
            };
            // A row with this very id comes first: it is this accept, repeated.
            known.entry(place).or_insert(outcome);
        }
        Ok(known)
    }

    /// Each run in a transaction of its own.
    async fn accept_singly(&self, runs: &[NewRun]) -> Result<Vec<AcceptOutcome>, LedgerError> {
        let mut outcomes = Vec::with_capacity(runs.len());
        for run in runs {
            match self.accept_together(slice::from_ref(run)).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(LedgerError::Refused(why)) => outcomes.push(AcceptOutcome::Refused(why)),
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }
}

pub(super) const LOOK_UP: &str = "SELECT j.value ->> 0 AS place, r.id, r.created_at, r.body_hmac, 1 AS same_id \
     FROM json_each(?1) AS j CROSS JOIN mcp_request AS r ON r.id = unhex(j.value ->> 1) \
     UNION ALL \
     SELECT j.value ->> 0, r.id, r.created_at, r.body_hmac, 0 \
     FROM json_each(?1) AS j CROSS JOIN mcp_request AS r INDEXED BY mcp_request_idempotency \
     ON r.tenant = j.value ->> 2 AND r.idempotency_key = j.value ->> 3";
