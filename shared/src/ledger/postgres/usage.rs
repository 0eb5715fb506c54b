//! The columns of calls to account, for one statement.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use super::{int, millis};
use crate::domain::{CallOutcome, CostUnknown, FailureCode, UsageRecord, Usd};
use crate::ledger::Write;

/// Calls to account, each with its run and epoch.
pub(super) struct Calls<'a>(Vec<(Uuid, i32, &'a UsageRecord)>);

impl<'a> Calls<'a> {
    pub(super) fn of(writes: &'a [Write]) -> Self {
        let calls = writes.iter().flat_map(|write| {
            let of_run = move |call| (write.run.uuid(), int(write.epoch), call);
            write.usage.iter().map(of_run)
        });
        Self(calls.collect())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn column<T>(&self, value: impl Fn(&'a UsageRecord) -> T) -> Vec<T> {
        self.0.iter().map(|(_, _, call)| value(call)).collect()
    }

    /// Binds twenty arrays, in the order the statement names them.
    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, sqlx::Postgres, PgArguments>,
    ) -> Query<'q, sqlx::Postgres, PgArguments>
    where
        'a: 'q,
    {
        let runs: Vec<Uuid> = self.0.iter().map(|(run, _, _)| *run).collect();
        let epochs: Vec<i32> = self.0.iter().map(|(_, epoch, _)| *epoch).collect();
        query
            .bind(runs)
            .bind(epochs)
            .bind(self.column(|call| int(call.call)))
            .bind(self.column(|call| &*call.provider))
            .bind(self.column(|call| &*call.model))
            .bind(self.column(|call| call.key.map(int)))
            .bind(self.column(|call| CallOutcome::as_str(call.outcome)))
            .bind(self.column(|call| call.error.map(FailureCode::as_str)))
            .bind(self.column(|call| call.tokens.input.map(tokens)))
            .bind(self.column(|call| call.tokens.output.map(tokens)))
            .bind(self.column(|call| call.tokens.cached_input.map(tokens)))
            .bind(self.column(|call| call.tokens.cache_write.map(tokens)))
            .bind(self.column(|call| call.tokens.reasoning.map(tokens)))
            .bind(self.column(|call| call.cost.ok().map(Usd::nanos)))
            .bind(self.column(|call| call.cost.err().map(CostUnknown::as_str)))
            .bind(self.column(|call| call.estimated))
            .bind(self.column(|call| call.first_token.map(millis)))
            .bind(self.column(|call| millis(call.duration)))
            .bind(self.column(|call| call.provider_request_id.as_deref()))
            .bind(self.column(|call| call.started_at.millis()))
    }
}

fn tokens(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
