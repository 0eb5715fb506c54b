//! One commit, carried through: an append whose outcome is not known is looked up before it is repeated, and data that
//! the ledger refuses is told apart run by run.

use std::sync::Arc;

use shared::domain::{LogEntry, WorkerId};
use shared::ledger::{Committed, Execute, LedgerError, Write, WriteOutcome};

use crate::back_off::BackOff;

/// What became of one run's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// In the ledger.
    Committed,
    /// In the ledger, and the run was ended by this entry right behind it.
    Overtaken(LogEntry),
    /// The run is somebody else's.
    Fenced,
    /// The ledger refuses this data.
    Refused,
}

/// Commits on behalf of one incarnation.
pub(super) struct Committer {
    pub(super) ledger: Arc<dyn Execute>,
    pub(super) worker: WorkerId,
}

impl Committer {
    /// Commits, however long the ledger is away; the caller gives up with the incarnation.
    pub(super) async fn commit(&self, writes: &[Write]) -> Vec<Fate> {
        let mut back_off = BackOff::for_ledger();
        // Whether an earlier try may have been committed although it was not answered.
        let mut uncertain = false;
        loop {
            let tried = self.attempt(writes, uncertain).await;
            let error = match tried {
                Ok(fates) => return fates,
                Err(error) => error,
            };
            uncertain = true;
            tracing::warn!(%error, runs = writes.len(), "journal: commit not done; trying again");
            tokio::time::sleep(back_off.next()).await;
        }
    }

    async fn attempt(&self, writes: &[Write], uncertain: bool) -> Result<Vec<Fate>, LedgerError> {
        if !uncertain {
            return match self.ledger.append(self.worker, writes).await {
                Ok(outcomes) => Ok(outcomes.into_iter().map(Fate::from).collect()),
                Err(error @ LedgerError::Unavailable(_)) => Err(error),
                Err(error) => self.one_by_one(writes, &error).await,
            };
        }
        // An append is all or nothing for the runs it did not fence, so each run's first entry tells.
        let mut fates = Vec::with_capacity(writes.len());
        for write in writes {
            fates.push(self.settle_doubt(write).await?);
        }
        Ok(fates)
    }

    /// The batch was refused as a whole: find out by whose fault.
    async fn one_by_one(&self, writes: &[Write], error: &LedgerError) -> Result<Vec<Fate>, LedgerError> {
        tracing::error!(%error, runs = writes.len(), "journal: the ledger refused a commit");
        if let [_] = writes {
            return Ok(vec![Fate::Refused]);
        }
        let mut fates = Vec::with_capacity(writes.len());
        for write in writes {
            fates.push(self.settle_doubt(write).await?);
        }
        Ok(fates)
    }

    /// Commits one run's part, or finds that it is committed.
    async fn settle_doubt(&self, write: &Write) -> Result<Fate, LedgerError> {
        let write = std::slice::from_ref(write);
        if self.is_committed(write).await? {
            return Ok(Fate::Committed);
        }
        let fate = match self.ledger.append(self.worker, write).await {
            Ok(outcomes) => outcomes.into_iter().next().map_or(Fate::Fenced, Fate::from),
            Err(error @ LedgerError::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::error!(%error, run = %write[0].run, "journal: the ledger refused a run's entries");
                Fate::Refused
            }
        };
        // The earlier try may have come through in between: then this one finds its own entries, or a run that has ended.
        let in_doubt = matches!(fate, Fate::Fenced | Fate::Refused);
        Ok(if in_doubt && self.is_committed(write).await? {
            Fate::Committed
        } else {
            fate
        })
    }

    async fn is_committed(&self, write: &[Write]) -> Result<bool, LedgerError> {
        Ok(self.ledger.committed(write).await?.first() == Some(&Committed::Yes))
    }
}

impl From<WriteOutcome> for Fate {
    fn from(outcome: WriteOutcome) -> Self {
        match outcome {
            WriteOutcome::Committed => Self::Committed,
            WriteOutcome::Overtaken(entry) => Self::Overtaken(entry),
            WriteOutcome::Fenced => Self::Fenced,
        }
    }
}
