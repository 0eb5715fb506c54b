//! The way in, as one function: admission ▸ accept. What comes out is a run that is in the ledger - a new one, or the
//! one that the same idempotency key made before.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use shared::domain::{Status, Timestamp};
use shared::ledger::{AcceptOutcome, NewRun, Reader, RunRecord};
use shared::telemetry::vocabulary;

use crate::acceptor::Acceptor;
use crate::admission::{Admission, ChatRequest, Origin};
use crate::body::Held;
use crate::drain::Drain;
use crate::problem::{Code, Problem};

/// Takes runs in.
#[derive(Clone)]
pub(crate) struct Intake {
    admission: Arc<Admission>,
    acceptor: Acceptor,
    reader: Reader,
    drain: Drain,
}

/// A run that is in the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Submitted {
    /// As it is now.
    pub(crate) run: RunRecord,
    /// Whether it was there before.
    pub(crate) replayed: bool,
}

impl Intake {
    pub(crate) const fn new(
        admission: Arc<Admission>,
        acceptor: Acceptor,
        reader: Reader,
        drain: Drain,
    ) -> Self {
        Self {
            admission,
            acceptor,
            reader,
            drain,
        }
    }

    /// Takes in one run. `held` is the share of the body budget that its request takes.
    ///
    /// # Errors
    /// The problem to answer with. Nothing of a refused request is in the ledger; after `ledger_unavailable` that is
    /// not known, and an idempotency key makes it safe to try again.
    pub(crate) async fn submit(
        &self,
        request: ChatRequest,
        origin: Origin,
        held: Held,
    ) -> Result<Submitted, Problem> {
        if self.drain.is_draining() {
            return Err(Problem::draining());
        }
        let run = self.admission.run(request, origin)?;
        let place = match self.admission.place(&run.tenant).await {
            Ok(place) => place,
            // What is there already takes no room.
            Err(full) => return self.accepted_before(&run).await?.ok_or_else(|| full.into()),
        };
        tracing::Span::current().record("run", tracing::field::display(run.id));
        let draft = Draft::of(&run);
        match self.acceptor.accept(run, place, held).await? {
            AcceptOutcome::Accepted { created_at } => {
                let run = draft.recorded_at(created_at);
                measure(&run);
                Ok(Submitted { run, replayed: false })
            }
            AcceptOutcome::Duplicate(run) => {
                let run = self.reader.run(run).await?.ok_or_else(Problem::run_not_found)?;
                Ok(Submitted { run, replayed: true })
            }
            AcceptOutcome::KeyReused(_) => Err(key_reused()),
            AcceptOutcome::Refused(why) => {
                tracing::warn!(%why, "the ledger refused a run");
                Err(Problem::new(Code::NotStorable))
            }
        }
    }

    /// The run that this one's idempotency key stands for already.
    async fn accepted_before(&self, run: &NewRun) -> Result<Option<Submitted>, Problem> {
        let Some(idempotency) = &run.idempotency else {
            return Ok(None);
        };
        match self.reader.idempotent(&run.tenant, &idempotency.key).await? {
            Some((run, body_hmac)) if body_hmac == idempotency.body_hmac => {
                Ok(Some(Submitted { run, replayed: true }))
            }
            Some(_) => Err(key_reused()),
            None => Ok(None),
        }
    }
}

fn key_reused() -> Problem {
    Problem::new(Code::IdempotencyKeyReused)
        .detail("an earlier request with this key said something else: use a new key")
        .field("idempotency-key")
}

/// A run's row as it is right after it was accepted, but for the moment, which the database says: reading it back
/// would cost a query per submit.
struct Draft {
    record: RunRecord,
    deadline: Option<Duration>,
}

impl Draft {
    fn of(run: &NewRun) -> Self {
        let unset = Timestamp::from_millis(0);
        let record = RunRecord {
            id: run.id,
            kind: run.kind,
            tenant: run.tenant.clone(),
            user: run.user.clone(),
            class: run.class,
            priority: run.priority,
            task_type: run.task_type.clone(),
            model: run.model.clone(),
            on_interruption: run.on_interruption,
            status: Status::Queued,
            epoch: 0,
            worker: None,
            attempts: 0,
            not_before: unset,
            deadline_at: None,
            cancel_at: None,
            created_at: unset,
            claimed_at: None,
            finished_at: None,
            estimate: run.estimate,
            metadata: run.metadata.clone(),
            simulated: run.simulated,
        };
        Self {
            record,
            deadline: run.deadline,
        }
    }

    fn recorded_at(self, moment: Timestamp) -> RunRecord {
        let deadline_at = self.deadline.map(|deadline| moment.plus(deadline));
        RunRecord {
            created_at: moment,
            not_before: moment,
            deadline_at,
            ..self.record
        }
    }
}

fn measure(run: &RunRecord) {
    let task_type = vocabulary::task_type(&run.task_type);
    counter!(vocabulary::ACCEPTED_COUNT, "class" => run.class.as_str(), "task_type" => task_type)
        .increment(1);
    if let Some(cost) = run.estimate.cost_usd {
        gauge!(vocabulary::COST_ESTIMATE_USD, "task_type" => task_type).increment(cost.dollars());
    }
}
