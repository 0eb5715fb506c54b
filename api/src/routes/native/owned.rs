//! A run by its id, for who may touch it: the one way by which every operation on a run comes to it.

use axum::extract::{FromRef, FromRequestParts, Path};
use http::request::Parts;
use shared::domain::RunId;
use shared::ledger::{Ledger, RunRecord};

use crate::authority::{Authority, Gate};
use crate::problem::{Code, Problem};

/// The run that `{id}` in the path names, if it exists and the caller may touch it; otherwise a 404 that does not
/// tell the two apart.
pub(crate) struct Owned {
    /// The run, as it was when the request came in.
    pub(crate) run: RunRecord,
    /// Who is asking.
    pub(crate) authority: Authority,
}

impl<S: Send + Sync> FromRequestParts<S> for Owned
where
    Gate: FromRef<S>,
    Ledger: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let authority = Authority::from_request_parts(parts, state).await?;
        let id = run_id(parts, state).await?;
        tracing::Span::current().record("run", tracing::field::display(id));
        let run = Ledger::from_ref(state).reader.run(id).await?;
        match run.filter(|run| authority.may_touch(run)) {
            Some(run) => Ok(Self { run, authority }),
            None => Err(Problem::run_not_found()),
        }
    }
}

async fn run_id<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RunId, Problem> {
    let malformed = |detail: String| Problem::new(Code::InvalidId).detail(detail).field("id");
    let Path(id) = Path::<String>::from_request_parts(parts, state)
        .await
        .map_err(|rejection| malformed(rejection.body_text()))?;
    id.parse().map_err(|error| malformed(format!("{error}")))
}
