//! While the database is away, one caller at a time finds out whether it is back; the others hear at once that it is
//! not. Without this every waiting caller would knock by itself, and a server that is just recovering would be met by
//! all of them.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ledger::LedgerError;

/// Lets everybody through while the database answers.
pub(super) struct Gate {
    away: AtomicBool,
    scout: Semaphore,
}

/// The way through.
pub(super) struct Pass<'a>(
    #[expect(dead_code, reason = "held until the answer is there")] Option<SemaphorePermit<'a>>,
);

impl Gate {
    pub(super) const fn open() -> Self {
        Self {
            away: AtomicBool::new(false),
            scout: Semaphore::const_new(1),
        }
    }

    /// Lets a caller through.
    ///
    /// # Errors
    /// When the database was away a moment ago and somebody is finding out already.
    pub(super) fn enter(&self) -> Result<Pass<'_>, LedgerError> {
        if !self.away.load(Ordering::Relaxed) {
            return Ok(Pass(None));
        }
        let scout = self.scout.try_acquire();
        let away = |_| LedgerError::Unavailable("the database is away".to_owned());
        scout.map(|permit| Pass(Some(permit))).map_err(away)
    }

    /// Notes how a call went.
    pub(super) fn note<T>(&self, done: &Result<T, sqlx::Error>) {
        self.away
            .store(done.as_ref().is_err_and(is_away), Ordering::Relaxed);
    }
}

/// Whether an error says that there is no server to talk to, and not that it disliked a statement.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => true,
        // 08 connection exception; 57P01 to 57P03: shutting down, crashed, cannot connect now.
        sqlx::Error::Database(database) => database
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Result<(), sqlx::Error> {
        Err(sqlx::Error::PoolTimedOut)
    }

    #[test]
    fn only_a_scout_goes_out_while_the_database_is_away() {
        let gate = Gate::open();
        let (_first, _second) = (gate.enter().unwrap(), gate.enter().unwrap());
        gate.note(&gone());
        let scout = gate.enter().unwrap();
        assert!(gate.enter().is_err_and(|error| error.is_unavailable()));
        gate.note(&gone());
        drop(scout);
        let scout = gate.enter().unwrap();
        gate.note(&Ok(()));
        drop(scout);
        let (_first, _second) = (gate.enter().unwrap(), gate.enter().unwrap());
    }

    #[test]
    fn a_statement_that_is_disliked_says_nothing_about_the_server() {
        let gate = Gate::open();
        gate.note::<()>(&Err(sqlx::Error::RowNotFound));
        let (_first, _second) = (gate.enter().unwrap(), gate.enter().unwrap());
    }
}
