//! Accounting calls of providers.

use rusqlite::{Connection, params};

use super::millis;
use super::rows::without_nul;
use crate::domain::{CallOutcome, CostUnknown, FailureCode, RunId, UsageRecord, Usd};
use crate::ledger::LedgerError;

/// Tenant, user and whether it is simulated come from the run.
pub(super) const INSERT: &str = "\
INSERT INTO mcp_usage (run_id, epoch, call, tenant, user_hash, simulated, provider, model, key_index, outcome, error_code, \
  input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, cost_nanousd, cost_unknown, \
  estimated, first_token_ms, duration_ms, provider_request_id, started_at) \
SELECT r.id, ?2, ?3, r.tenant, r.user_hash, r.simulated, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
  ?18, ?19, ?20 FROM mcp_request AS r WHERE r.id = ?1";

/// Accounts a call of a run that is in the table, with its epoch. A call that is there is refused.
pub(super) fn insert(
    connection: &Connection,
    run: RunId,
    epoch: u32,
    call: &UsageRecord,
) -> Result<(), LedgerError> {
    let id = call.provider_request_id.as_deref();
    without_nul([&*call.provider, &*call.model].into_iter().chain(id))?;
    connection.prepare_cached(INSERT)?.execute(params![
        run.uuid(),
        epoch,
        call.call,
        &*call.provider,
        &*call.model,
        call.key,
        CallOutcome::as_str(call.outcome),
        call.error.map(FailureCode::as_str),
        call.tokens.input.map(tokens),
        call.tokens.output.map(tokens),
        call.tokens.cached_input.map(tokens),
        call.tokens.cache_write.map(tokens),
        call.tokens.reasoning.map(tokens),
        call.cost.ok().map(Usd::nanos),
        call.cost.err().map(CostUnknown::as_str),
        call.estimated,
        call.first_token.map(millis),
        millis(call.duration),
        id,
        call.started_at.millis(),
    ])?;
    Ok(())
}

fn tokens(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
