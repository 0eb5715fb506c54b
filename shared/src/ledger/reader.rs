//! The queries behind [`Reader`]: the same on both databases.

use sea_orm::sea_query::{Expr, ExprTrait, Func, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::entity::{request, result, worker};
use super::{
    ClassOverview, Failure, LedgerError, Overview, Page, PoolStatus, Reader, RunFilter, RunRecord, RunResult,
    StoredResult, WorkerRecord,
};
use crate::domain::{Class, Estimate, Priority, RunId, Status, TenantId, Timestamp, Usd, UserHash};

impl Reader {
    /// A run.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn run(&self, run: RunId) -> Result<Option<RunRecord>, LedgerError> {
        self.within(request::Entity::find_by_id(run.uuid()).one(&self.db))
            .await?
            .map(RunRecord::try_from)
            .transpose()
    }

    /// The run that an idempotency key of a tenant stands for, and the keyed hash of the body that made it.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn idempotent(
        &self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<(RunRecord, Vec<u8>)>, LedgerError> {
        use request::Column;
        let query = request::Entity::find()
            .filter(Column::Tenant.eq(tenant.as_str()))
            .filter(Column::IdempotencyKey.eq(key));
        let Some(mut model) = self.within(query.one(&self.db)).await? else {
            return Ok(None);
        };
        let body_hmac = model.body_hmac.take().unwrap_or_default();
        Ok(Some((model.try_into()?, body_hmac)))
    }

    /// How a run ended; none while it has not.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn result(&self, run: RunId) -> Result<Option<StoredResult>, LedgerError> {
        self.within(result::Entity::find_by_id(run.uuid()).one(&self.db))
            .await?
            .map(StoredResult::try_from)
            .transpose()
    }

    /// Runs that fit the filter, newest first, beginning with those older than `before`.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn list(
        &self,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Page, LedgerError> {
        use request::Column;
        let condition = Condition::all()
            .add_option(
                filter
                    .tenant
                    .as_ref()
                    .map(|tenant| Column::Tenant.eq(tenant.as_str())),
            )
            .add_option(
                filter
                    .user
                    .as_ref()
                    .map(|user| Column::UserHash.eq(user.as_str())),
            )
            .add_option(filter.status.map(|status| Column::Status.eq(status.as_str())))
            .add_option(filter.class.map(|class| Column::Class.eq(class.as_str())))
            .add_option(
                filter
                    .task_type
                    .as_ref()
                    .map(|task_type| Column::TaskType.eq(task_type.as_str())),
            )
            .add_option(before.map(|before| Column::Id.lt(before.uuid())));
        let query = request::Entity::find()
            .filter(condition)
            .order_by_desc(Column::Id)
            .limit(u64::from(limit) + 1);
        let mut models = self.within(query.all(&self.db)).await?;
        let more = models.len() > limit as usize;
        models.truncate(limit as usize);
        let runs = models
            .into_iter()
            .map(RunRecord::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        let next = if more { runs.last().map(|run| run.id) } else { None };
        Ok(Page { runs, next })
    }

    /// How many runs are queued (of one tenant, or in all), counting no further than `up_to`.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn queued(&self, tenant: Option<&TenantId>, up_to: u64) -> Result<u64, LedgerError> {
        self.number(&counting(tenant, up_to)).await
    }

    /// The queue and the workers. Reads the whole queue's index: for people and scrapes, not for hot paths.
    ///
    /// # Errors
    /// When the ledger is away.
    pub async fn overview(&self) -> Result<Overview, LedgerError> {
        let now = self.now().await?;
        let mut classes = Vec::with_capacity(Class::ALL.len());
        for class in Class::ALL {
            classes.push(self.class_overview(class, now).await?);
        }
        Ok(Overview {
            classes,
            workers: self.workers().await?,
        })
    }

    /// Whether the ledger answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        self.within(self.db.ping()).await
    }

    /// The connections of the pool.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        (self.pool)()
    }

    async fn class_overview(&self, class: Class, now: Timestamp) -> Result<ClassOverview, LedgerError> {
        use request::Column;
        let of_class = |status: Status| {
            let mut select = Query::select();
            select
                .expr_as(Func::count(Expr::cust("*")), "count")
                .from(request::Entity)
                .and_where(has(status))
                .and_where(Column::Class.eq(class.as_str()));
            select
        };
        let queued = self.number(&of_class(Status::Queued)).await?;
        let delayed = self
            .number(of_class(Status::Queued).and_where(Column::NotBefore.gt(now.millis())))
            .await?;
        let running = self.number(&of_class(Status::Running)).await?;
        let oldest = request::Entity::find()
            .select_only()
            .column_as(Column::NotBefore.min(), "oldest")
            .filter(has(Status::Queued))
            .filter(Column::Class.eq(class.as_str()))
            .filter(Column::NotBefore.lte(now.millis()))
            .into_tuple::<Option<i64>>();
        let oldest = self.within(oldest.one(&self.db)).await?;
        let age = |oldest: i64| u64::try_from(now.millis() - oldest).unwrap_or(0);
        Ok(ClassOverview {
            class,
            ready: queued.saturating_sub(delayed),
            running,
            delayed,
            oldest_ready_age_ms: oldest.flatten().map(age),
        })
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, LedgerError> {
        let models = worker::Entity::find()
            .filter(worker::Column::Status.ne("dead"))
            .order_by_asc(worker::Column::StartedAt);
        let models = self.within(models.all(&self.db)).await?;
        let held = request::Entity::find()
            .select_only()
            .column(request::Column::WorkerId)
            .column_as(request::Column::Id.count(), "held")
            .filter(has(Status::Running))
            .filter(request::Column::WorkerId.is_not_null())
            .group_by(request::Column::WorkerId)
            .into_tuple::<(uuid::Uuid, i64)>();
        let held = self.within(held.all(&self.db)).await?;
        let running = |id: uuid::Uuid| {
            let count = held
                .iter()
                .find(|(worker, _)| *worker == id)
                .map_or(0, |(_, count)| *count);
            u64::try_from(count).unwrap_or(0)
        };
        let record = |model: worker::Model| WorkerRecord {
            id: model.id.into(),
            running: running(model.id),
            name: model.name,
            status: model.status,
            slots: count(model.slots),
            started_at: Timestamp::from_millis(model.started_at),
            lease_until: Timestamp::from_millis(model.lease_until),
        };
        Ok(models.into_iter().map(record).collect())
    }

    async fn now(&self) -> Result<Timestamp, LedgerError> {
        let now = match self.db.get_database_backend() {
            DbBackend::Postgres => "mcp_now()",
            _ => "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)",
        };
        let mut select = Query::select();
        select.expr_as(Expr::cust(now), "now");
        let row = self.within(self.db.query_one(&select)).await?;
        let row = row.ok_or_else(|| LedgerError::Corrupt("the database told no time".to_owned()))?;
        Ok(Timestamp::from_millis(row.try_get("", "now")?))
    }

    async fn number(&self, select: &SelectStatement) -> Result<u64, LedgerError> {
        let row = self.within(self.db.query_one(select)).await?;
        let row = row.ok_or_else(|| LedgerError::Corrupt("a count returned nothing".to_owned()))?;
        Ok(u64::try_from(row.try_get::<i64>("", "count")?).unwrap_or(0))
    }

    /// Waits for a query; a database that does not answer in time counts as away.
    pub(super) async fn within<T>(
        &self,
        query: impl Future<Output = Result<T, DbErr>> + Send,
    ) -> Result<T, LedgerError> {
        match tokio::time::timeout(self.patience, query).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(LedgerError::Unavailable(format!(
                "no answer within {:?}",
                self.patience
            ))),
        }
    }
}

/// Counts queued runs, of one tenant or in all, no further than `up_to`.
pub(super) fn counting(tenant: Option<&TenantId>, up_to: u64) -> SelectStatement {
    use request::Column;
    let mut some = Query::select();
    some.expr(Expr::val(1))
        .from(request::Entity)
        .and_where(has(Status::Queued));
    if let Some(tenant) = tenant {
        // With the classes named, the index on (class, tenant) of queued runs answers.
        some.and_where(Column::Class.is_in(Class::ALL.map(Class::as_str)));
        some.and_where(Column::Tenant.eq(tenant.as_str()));
    }
    some.limit(up_to);
    let mut counting = Query::select();
    counting
        .expr_as(Func::count(Expr::cust("*")), "count")
        .from_subquery(some, "some");
    counting
}

/// That a run has this status, written out and not as a parameter: the indexes are of the runs of one status, and a plan
/// that is made for any status cannot use them.
fn has(status: Status) -> Expr {
    ExprTrait::eq(
        Expr::col(request::Column::Status),
        Expr::cust(format!("'{}'", status.as_str())),
    )
}

fn count(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn corrupt(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Corrupt(error.to_string())
}

impl TryFrom<request::Model> for RunRecord {
    type Error = LedgerError;

    fn try_from(model: request::Model) -> Result<Self, LedgerError> {
        let priority = u8::try_from(model.priority).ok().and_then(Priority::new);
        Ok(Self {
            id: model.id.into(),
            kind: model.kind.parse()?,
            tenant: model.tenant.parse().map_err(corrupt)?,
            user: model.user_hash.map(UserHash::from_hex),
            class: model.class.parse()?,
            priority: priority.ok_or_else(|| corrupt("a priority beyond 100"))?,
            task_type: model.task_type,
            model: model.model,
            on_interruption: model.on_interruption.parse()?,
            status: model.status.parse()?,
            epoch: count(model.epoch),
            worker: model.worker_id.map(Into::into),
            attempts: count(model.attempts),
            not_before: Timestamp::from_millis(model.not_before),
            deadline_at: model.deadline_at.map(Timestamp::from_millis),
            cancel_at: model.cancel_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(model.created_at),
            claimed_at: model.claimed_at.map(Timestamp::from_millis),
            finished_at: model.finished_at.map(Timestamp::from_millis),
            estimate: Estimate {
                input_tokens: count(model.estimated_input_tokens),
                output_tokens: count(model.estimated_output_tokens),
                cost_usd: model.estimated_cost_nanousd.map(Usd::from_nanos),
            },
            metadata: model.metadata,
            simulated: model.simulated,
        })
    }
}

impl TryFrom<result::Model> for StoredResult {
    type Error = LedgerError;

    fn try_from(model: result::Model) -> Result<Self, LedgerError> {
        let failure = match model.error_code {
            None => None,
            Some(code) => Some(Failure {
                code: code.parse()?,
                message: model.error_message.unwrap_or_default(),
                retryable: model.retryable.unwrap_or(false),
            }),
        };
        Ok(Self {
            result: RunResult {
                status: model.status.parse()?,
                answer: model.answer,
                finish_reason: model.finish_reason,
                provider: model.provider,
                model: model.model,
                usage: model.usage,
                cost: model.cost_nanousd.map(Usd::from_nanos),
                failure,
            },
            finished_at: Timestamp::from_millis(model.finished_at),
        })
    }
}
