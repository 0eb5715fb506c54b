//! Reading what calls of providers took, and what workers last saw of their providers: the same on both databases.

use std::time::Duration;

use sea_orm::sea_query::{Expr, Order, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait as _, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};

use super::entity::{usage, worker};
use super::{LedgerError, Reader};
use crate::domain::{
    CallTokens, FiguresReport, RunId, TenantId, Timestamp, UsageRecord, Usd, UserHash, WorkerId,
};

/// A call of a provider as it was accounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountedCall {
    /// The epoch of the claim that made it.
    pub epoch: u32,
    /// Who pays.
    pub tenant: TenantId,
    /// On whose behalf.
    pub user: Option<UserHash>,
    /// Whether the simulator answered.
    pub simulated: bool,
    /// The call.
    pub call: UsageRecord,
}

/// What calls came to. Calls of the simulator do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spending {
    /// How many there were.
    pub calls: u64,
    /// Of these: whose cost is not known, and not in `cost`.
    pub unknown: u64,
    /// Tokens sent, as far as they are known.
    pub input_tokens: u64,
    /// Tokens generated, as far as they are known.
    pub output_tokens: u64,
    /// What the others cost.
    pub cost: Usd,
}

/// How long the answers of a task type have been lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerLength {
    /// What clients said the runs were for.
    pub task_type: String,
    /// The mean of the tokens generated, to the nearest whole one.
    pub mean_tokens: u64,
    /// How many answers it is of.
    pub answers: u64,
}

/// Of the newest calls, by the id of their run, which is a time. The bound is on the calls that are looked at and not on
/// those that count, so that it costs the same whatever they were. A call knows its run, and the run its task type: by
/// itself for each, so that nobody thinks of reading all runs.
pub(super) const ANSWER_LENGTHS: &str = "
SELECT task_type, CAST(round(avg(output_tokens)) AS bigint) AS mean_tokens, count(*) AS answers
FROM (
    SELECT (SELECT run.task_type FROM mcp_request AS run WHERE run.id = recent.run_id) AS task_type, recent.output_tokens
    FROM (
        SELECT run_id, outcome, simulated, output_tokens FROM mcp_usage ORDER BY run_id DESC LIMIT 2000
    ) AS recent
    WHERE recent.outcome = 'succeeded' AND NOT recent.simulated AND recent.output_tokens IS NOT NULL
) AS answer
GROUP BY task_type";

/// What a worker last saw of its providers.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerReport {
    /// The incarnation.
    pub worker: WorkerId,
    /// For people: host and process.
    pub name: String,
    /// When it said so; database time.
    pub at: Timestamp,
    /// What it said.
    pub report: FiguresReport,
}

impl Reader {
    /// The calls of a run, in the order they were made.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn calls(&self, run: RunId) -> Result<Vec<AccountedCall>, LedgerError> {
        let calls = usage::Entity::find()
            .filter(usage::Column::RunId.eq(run.uuid()))
            .order_by_asc(usage::Column::Epoch)
            .order_by_asc(usage::Column::Call);
        let models = self.within(calls.all(&self.db)).await?;
        models.into_iter().map(AccountedCall::try_from).collect()
    }

    /// What a tenant's calls (or everybody's) that began in a span of time came to; `until` is not part of it. Reads all
    /// rows of that time: for people and reports, not for hot paths.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn spending(
        &self,
        tenant: Option<&TenantId>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Spending, LedgerError> {
        use usage::Column;
        let mut calls = usage::Entity::find()
            .filter(Column::StartedAt.gte(from.millis()))
            .filter(Column::StartedAt.lt(until.millis()))
            .filter(Column::Simulated.eq(false));
        if let Some(tenant) = tenant {
            calls = calls.filter(Column::Tenant.eq(tenant.as_str()));
        }
        let sum = |column: Column| column.sum().cast_as("bigint");
        let sums = calls
            .select_only()
            .column_as(Column::RunId.count(), "calls")
            .column_as(Column::CostUnknown.count(), "unknown")
            .column_as(sum(Column::InputTokens), "input")
            .column_as(sum(Column::OutputTokens), "output")
            .column_as(sum(Column::CostNanousd), "cost")
            .into_tuple::<(i64, i64, Option<i64>, Option<i64>, Option<i64>)>();
        let Some((calls, unknown, input, output, cost)) = self.within(sums.one(&self.db)).await? else {
            return Ok(Spending::default());
        };
        Ok(Spending {
            calls: unsigned(calls),
            unknown: unsigned(unknown),
            input_tokens: unsigned(input.unwrap_or(0)),
            output_tokens: unsigned(output.unwrap_or(0)),
            cost: Usd::from_nanos(cost.unwrap_or(0)),
        })
    }

    /// How long complete answers have been, by task type: of those among the 2,000 newest calls whose length is known and
    /// whose run is still there. Answers of the simulator do not count.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn answer_lengths(&self) -> Result<Vec<AnswerLength>, LedgerError> {
        let statement = Statement::from_string(self.db.get_database_backend(), ANSWER_LENGTHS);
        let rows = self.within(self.db.query_all_raw(statement)).await?;
        let mut lengths = Vec::with_capacity(rows.len());
        for row in rows {
            // Retention has taken the run.
            let Some(task_type) = row.try_get("", "task_type")? else {
                continue;
            };
            lengths.push(AnswerLength {
                task_type,
                mean_tokens: unsigned(row.try_get("", "mean_tokens")?),
                answers: unsigned(row.try_get("", "answers")?),
            });
        }
        Ok(lengths)
    }

    /// What the living workers last reported, oldest worker first. A report this version cannot read is left out.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn reports(&self) -> Result<Vec<WorkerReport>, LedgerError> {
        // Not of the entity: a report is long, and nobody else wants it read with a worker.
        let mut query = Query::select();
        query
            .columns(["id", "name", "figures", "figures_at"])
            .from(worker::Entity)
            .and_where(worker::Column::Status.ne("dead"))
            .and_where(Expr::col("figures").is_not_null())
            .order_by("started_at", Order::Asc);
        let rows = self.within(self.db.query_all(&query)).await?;
        let mut reports = Vec::with_capacity(rows.len());
        for row in rows {
            let worker = row.try_get::<uuid::Uuid>("", "id")?.into();
            let text: String = row.try_get("", "figures")?;
            match serde_json::from_str(&text) {
                Ok(report) => reports.push(WorkerReport {
                    worker,
                    name: row.try_get("", "name")?,
                    at: Timestamp::from_millis(row.try_get("", "figures_at")?),
                    report,
                }),
                Err(error) => tracing::warn!(%worker, %error, "the figures of a worker cannot be read"),
            }
        }
        Ok(reports)
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn corrupt(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Corrupt(error.to_string())
}

impl TryFrom<usage::Model> for AccountedCall {
    type Error = LedgerError;

    fn try_from(model: usage::Model) -> Result<Self, LedgerError> {
        let cost = match (model.cost_nanousd, model.cost_unknown) {
            (Some(nanos), None) => Ok(Usd::from_nanos(nanos)),
            (None, Some(why)) => Err(why.parse()?),
            _ => return Err(corrupt("a call whose cost is neither known nor unknown")),
        };
        let millis = |millis: i64| Duration::from_millis(unsigned(millis));
        let count = |value: i32| u32::try_from(value).unwrap_or(0);
        Ok(Self {
            epoch: count(model.epoch),
            tenant: model.tenant.parse().map_err(corrupt)?,
            user: model.user_hash.map(UserHash::from_hex),
            simulated: model.simulated,
            call: UsageRecord {
                call: count(model.call),
                provider: model.provider.into(),
                model: model.model.into(),
                key: model.key_index.map(count),
                outcome: model.outcome.parse()?,
                error: model.error_code.map(|code| code.parse()).transpose()?,
                tokens: CallTokens {
                    input: model.input_tokens.map(unsigned),
                    output: model.output_tokens.map(unsigned),
                    cached_input: model.cached_input_tokens.map(unsigned),
                    cache_write: model.cache_write_tokens.map(unsigned),
                    reasoning: model.reasoning_tokens.map(unsigned),
                },
                cost,
                estimated: model.estimated,
                first_token: model.first_token_ms.map(millis),
                duration: millis(model.duration_ms),
                provider_request_id: model.provider_request_id,
                started_at: Timestamp::from_millis(model.started_at),
            },
        })
    }
}
