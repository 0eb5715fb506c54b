//! The one thread that writes. It owns the connection; callers hand it work and wait. All work that waits is done in one
//! transaction, each piece in a savepoint of its own, and nobody is answered before the COMMIT: one fsync for an accept,
//! a claim and an append that arrive together.
//!
//! Never: an answer before the COMMIT, or a piece of work that is lost without its caller hearing so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::ledger::LedgerError;

/// Pieces of work in one transaction. Each may be a batch itself.
const GROUP: usize = 64;

/// The thread, for who has work for it. Dropped, it does what it was given and closes the connection.
#[derive(Debug)]
pub(super) struct Writer {
    /// None only while it is dropped.
    jobs: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread over this connection.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(connection: Connection) -> Result<Self, LedgerError> {
        let (jobs, waiting) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || write_all(&connection, &waiting))
            .map_err(|error| LedgerError::Unavailable(format!("no thread for the writer: {error}")))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Does this work in a transaction, and answers once it is committed. Work that fails leaves nothing behind. A caller
    /// that does not wait any more may find it done or not.
    ///
    /// # Errors
    /// Those of the work. [`LedgerError::Unavailable`] when the transaction cannot be begun or committed, or nothing is
    /// heard in [`super::PATIENCE`]: whether the work was done is then not known.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let gone = || LedgerError::Unavailable("the writer is gone".to_owned());
        let (reply, answer) = oneshot::channel();
        let job = Asked {
            work: Some(work),
            done: None,
            reply,
        };
        // Taken only by the drop.
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Box::new(job)).map_err(|_| gone())?;
        match tokio::time::timeout(super::PATIENCE, answer).await {
            Ok(answered) => answered.map_err(|_| gone())?,
            Err(_) => Err(LedgerError::Unavailable(format!(
                "not written within {:?}",
                super::PATIENCE
            ))),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // An error would be a panic, which the thread has caught wherever our code runs.
            let _ = thread.join();
        }
    }
}

/// A piece of work on its way through the thread.
trait Job: Send {
    /// Whether its caller still waits.
    fn is_awaited(&self) -> bool;
    /// Does the work. False: what it did is to be undone.
    fn work(&mut self, connection: &Connection) -> bool;
    /// Tells the caller, once it is known whether the transaction was committed.
    fn answer(self: Box<Self>, committed: &Result<(), LedgerError>);
}

struct Asked<T, W> {
    work: Option<W>,
    /// What the work came to, before the COMMIT.
    done: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, W> Job for Asked<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, LedgerError> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn work(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        // A defect in one piece of work must not cost those after it.
        let done = catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or_else(|_| {
            tracing::error!("a piece of the ledger's work panicked");
            Err(LedgerError::Unavailable("an internal error".to_owned()))
        });
        self.done.insert(done).is_ok()
    }

    fn answer(self: Box<Self>, committed: &Result<(), LedgerError>) {
        let answer = match (self.done, committed) {
            // Undone, whatever became of the others.
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.clone()),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (None, Ok(())) => Err(LedgerError::Unavailable("the work was left out".to_owned())),
        };
        // An error means that the caller is gone.
        let _ = self.reply.send(answer);
    }
}

/// Until nobody can have work any more.
fn write_all(connection: &Connection, waiting: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(GROUP - 1));
        group.retain(|job| job.is_awaited());
        if group.is_empty() {
            continue;
        }
        let committed = together(connection, &mut group);
        if committed.is_err() && !connection.is_autocommit() {
            // Should even this fail, so will the next BEGIN, and its callers hear of it.
            let _ = execute(connection, "ROLLBACK");
        }
        for job in group {
            job.answer(&committed);
        }
    }
}

/// One transaction: what each job does is kept or undone by itself.
fn together(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), LedgerError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    for job in group {
        execute(connection, "SAVEPOINT job")?;
        if !job.work(connection) {
            // Fails where SQLite has given up the whole transaction, as it does when the disk is full.
            execute(connection, "ROLLBACK TO job")?;
        }
        execute(connection, "RELEASE job")?;
    }
    execute(connection, "COMMIT")
}

fn execute(connection: &Connection, sql: &'static str) -> Result<(), LedgerError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
