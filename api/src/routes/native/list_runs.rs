//! `GET /mcp/v1/requests`: runs, newest first, page by page.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::domain::RunId;
use shared::ledger::{Ledger, RunFilter};
use utoipa::ToSchema;

use super::run_body::RunBody;
use crate::admission::Admission;
use crate::authority::Authority;
use crate::body::ValidQuery;
use crate::problem::{Code, Problem, ProblemBody};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Which runs. All conditions hold.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only in this status.
    #[param(example = "running")]
    status: Option<String>,
    /// Only of this class.
    #[param(example = "interactive")]
    class: Option<String>,
    /// Only of this task type.
    task_type: Option<String>,
    /// Only on behalf of this user of yours.
    user_id: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Runs of all tenants; takes an admin's API key.
    #[param(default = false)]
    all_tenants: Option<bool>,
}

/// One page of runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListBody {
    /// Newest first.
    requests: Vec<RunBody>,
    /// Where the next page begins; null on the last page.
    next_cursor: Option<String>,
}

struct Selection {
    filter: RunFilter,
    before: Option<RunId>,
    limit: u32,
}

impl ListQuery {
    fn select(self, authority: Authority, admission: &Admission) -> Result<Selection, Problem> {
        let all_tenants = self.all_tenants.unwrap_or(false);
        if all_tenants && !authority.admin {
            return Err(Problem::new(Code::AdminRequired).field("all_tenants"));
        }
        if all_tenants && self.user_id.is_some() {
            return Err(refused(
                "user_id",
                "users belong to one tenant: leave out `all_tenants`",
            ));
        }
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(refused("limit", format!("must be from 1 to {MAX_LIMIT}")));
        }
        let before = self.cursor.as_deref().map(str::parse).transpose();
        let before = before.map_err(|_| {
            Problem::new(Code::InvalidCursor)
                .detail("expected the `next_cursor` of an earlier page")
                .field("cursor")
        })?;
        if self
            .task_type
            .as_deref()
            .is_some_and(|task_type| task_type.contains('\0'))
        {
            return Err(refused("task_type", "no task type contains NUL"));
        }
        let filter = RunFilter {
            user: self
                .user_id
                .map(|user| admission.user_hash(&authority.tenant, &user)),
            tenant: (!all_tenants).then_some(authority.tenant),
            status: parsed("status", self.status)?,
            class: parsed("class", self.class)?,
            task_type: self.task_type,
        };
        Ok(Selection {
            filter,
            before,
            limit,
        })
    }
}

/// Runs
///
/// Newest first. Of your own tenant, unless an admin asks for all. Go on with `?cursor=` and the `next_cursor` of the
/// page before.
#[utoipa::path(
    get,
    path = "/mcp/v1/requests",
    tag = "runs",
    params(ListQuery),
    responses(
        (status = OK, description = "A page of runs.", body = ListBody),
        (status = BAD_REQUEST, description = "`invalid_query`, `invalid_cursor`.",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_runs(
    authority: Authority,
    ValidQuery(query): ValidQuery<ListQuery>,
    State(admission): State<Arc<Admission>>,
    State(ledger): State<Ledger>,
) -> Result<Json<ListBody>, Problem> {
    let Selection {
        filter,
        before,
        limit,
    } = query.select(authority, &admission)?;
    let page = ledger.reader.list(&filter, before, limit).await?;
    let now = shared::clock::now();
    Ok(Json(ListBody {
        requests: page.runs.into_iter().map(|run| RunBody::of(run, now)).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

fn parsed<T: FromStr<Err: Display>>(field: &'static str, text: Option<String>) -> Result<Option<T>, Problem> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error: T::Err| refused(field, error.to_string()))
}

fn refused(field: &'static str, why: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::InvalidQuery).detail(why).field(field)
}
