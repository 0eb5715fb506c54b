//! The way in, as one function: admission ▸ accept. What comes out is a run that is in the ledger - a new one, or the
//! one that the same idempotency key made before.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use shared::domain::{Cursor, EventType, LogEntry, Status, Timestamp};
use shared::ledger::{AcceptOutcome, NewRun, Reader, RunRecord};
use shared::telemetry::vocabulary;
use shared::watch::{Watch, Watcher};

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
    watch: Watch,
    drain: Drain,
}

/// A run that is in the ledger.
pub(crate) struct Submitted {
    /// As it is now.
    pub(crate) run: RunRecord,
    /// Whether it was there before.
    pub(crate) replayed: bool,
    /// Its log from the beginning, if it is new and was to be watched.
    pub(crate) watcher: Option<Watcher>,
}

impl Submitted {
    /// A run that an earlier request made.
    const fn before(run: RunRecord) -> Self {
        Self {
            run,
            replayed: true,
            watcher: None,
        }
    }
}

impl Intake {
    pub(crate) const fn new(
        admission: Arc<Admission>,
        acceptor: Acceptor,
        reader: Reader,
        watch: Watch,
        drain: Drain,
    ) -> Self {
        Self {
            admission,
            acceptor,
            reader,
            watch,
            drain,
        }
    }

    /// Takes in one run, and watches it if so wished. `held` is the share of the body budget that its request takes.
    ///
    /// # Errors
    /// The problem to answer with. Nothing of a refused request is in the ledger; after `ledger_unavailable` that is
    /// not known, and an idempotency key makes it safe to try again.
    pub(crate) async fn submit(
        &self,
        request: ChatRequest,
        origin: Origin,
        held: Held,
        watched: bool,
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
        let draft = Draft::of(&run, watched);
        let watching = async {
            if watched {
                Some(self.watch.expect(draft.record.id).await)
            } else {
                None
            }
        };
        let (expected, accepted) = tokio::join!(watching, self.acceptor.accept(run, place, held));
        match accepted? {
            AcceptOutcome::Accepted { created_at } => {
                let (run, queued) = draft.recorded_at(created_at);
                measure(&run);
                Ok(Submitted {
                    run,
                    replayed: false,
                    watcher: expected
                        .zip(queued)
                        .map(|(expected, queued)| expected.accepted(queued)),
                })
            }
            AcceptOutcome::Duplicate(run) => {
                let run = self.reader.run(run).await?.ok_or_else(Problem::run_not_found)?;
                Ok(Submitted::before(run))
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
            Some((run, body_hmac)) if body_hmac == idempotency.body_hmac => Ok(Some(Submitted::before(run))),
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

/// A run's row, and the first entry of its log if that is wanted, as they are right after it was accepted, but for the
/// moment, which the database says: reading them back would cost queries per submit.
struct Draft {
    record: RunRecord,
    queued: Option<Arc<str>>,
    deadline: Option<Duration>,
}

impl Draft {
    fn of(run: &NewRun, watched: bool) -> Self {
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
            queued: watched.then(|| run.queued_data()),
            deadline: run.deadline,
        }
    }

    fn recorded_at(self, moment: Timestamp) -> (RunRecord, Option<LogEntry>) {
        let deadline_at = self.deadline.map(|deadline| moment.plus(deadline));
        let run = RunRecord {
            created_at: moment,
            not_before: moment,
            deadline_at,
            ..self.record
        };
        let queued = self.queued.map(|data| LogEntry {
            cursor: Cursor::QUEUED,
            kind: EventType::RunQueued,
            at: moment,
            data,
        });
        (run, queued)
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
