//! Follows a run and tells of it until it ends, Ctrl-C is pressed, or the time for it is over.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use shared::domain::{Cursor, RunId, Status};
use tokio::signal;
use tokio::time::sleep;

use super::narrator::{Manner, Narrator};
use crate::client::{Client, End, ErrorView, Follower, Step, go_on};
use crate::exit::CliError;
use crate::output::Screen;

/// What to follow, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Following {
    pub(super) run: RunId,
    /// Where to begin; the start of the log when none.
    pub(super) after: Option<Cursor>,
    pub(super) manner: Manner,
    /// How long the server may be away.
    pub(super) patience: Duration,
    /// How long the run may take.
    pub(super) limit: Option<Duration>,
    /// This server has just accepted the run.
    pub(super) known: bool,
}

impl Following {
    /// Until the run has ended, whichever way.
    pub(super) async fn to_the_end(self, client: &Client, screen: &mut Screen) -> Result<End, CliError> {
        // The last entry that is out, so that Ctrl-C can say how to go on.
        let told = Cell::new(self.after);
        let expired = async {
            match self.limit {
                Some(limit) => sleep(limit).await,
                None => pending().await,
            }
        };
        tokio::select! {
            // In this order, so that what is out is known to be out when Ctrl-C comes with it.
            biased;
            end = self.tell(client, screen, &told) => end,
            () = expired => {
                let next = client.server().command(&format!("tail {}", self.run));
                Err(CliError::WaitedTooLong { run: self.run, waited: self.limit.unwrap_or_default(), next })
            }
            () = interrupted() => {
                let after = told.get().filter(|_| self.manner != Manner::Silent);
                Err(CliError::Detached { run: self.run, next: go_on(client, self.run, after) })
            }
        }
    }

    async fn tell(
        self,
        client: &Client,
        screen: &mut Screen,
        told: &Cell<Option<Cursor>>,
    ) -> Result<End, CliError> {
        let mut follower = Follower::new(client, self.run, self.after, self.patience, self.known);
        let result = client.server().command(&format!("result {} -o json", self.run));
        let mut narrator = Narrator::new(self.manner, self.after, result);
        screen.busy("connecting".to_owned());
        loop {
            match follower.next().await? {
                Step::Entry(entry) => {
                    narrator.entry(&entry, screen).await?;
                    told.set(Some(entry.cursor));
                }
                Step::Lost { why } => {
                    screen.note(&format!("connecting again: {why}")).await?;
                    screen.busy("connecting again".to_owned());
                }
                Step::Ended(end) => {
                    narrator.end(&end, screen).await?;
                    return Ok(end);
                }
            }
        }
    }
}

/// Ok for an answer, an error for a run without one.
pub(super) fn verdict(
    client: &Client,
    run: RunId,
    status: Status,
    error: Option<ErrorView>,
) -> Result<(), CliError> {
    if status == Status::Succeeded {
        return Ok(());
    }
    let next = match &error {
        Some(error) if error.retryable => "submit it again: another try may succeed".to_owned(),
        Some(_) => client.server().command(&format!("tail {run} --events")),
        None => client.server().command(&format!("status {run}")),
    };
    let (code, message) = error.map(|error| (error.code, error.message)).unzip();
    Err(CliError::RunEnded {
        run,
        status,
        code,
        message,
        next,
    })
}

async fn interrupted() {
    // Without a handler Ctrl-C just ends the process: no reason not to follow.
    if signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}
