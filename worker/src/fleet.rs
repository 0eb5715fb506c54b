//! What workers tell each other: a breaker that changed here is news for all, and theirs are obeyed here. And what this
//! worker sees, for people. Goes through the ledger, so that it works with and without Redis; while the ledger is away
//! each worker goes on by what it knows itself.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use shared::catalog::CatalogHandle;
use shared::domain::{BreakerNews, WorkerId};
use shared::ledger::{Ledger, LedgerError, NewsMark};
use tokio::time::Instant;

use crate::back_off::{BackOff, jittered};
use crate::ledger_time::LedgerTime;
use crate::roster::{Pair, Roster};

/// How often others' news are read: twice in the second within which the fleet is to know.
const HEAR: Duration = Duration::from_millis(350);
/// How often this worker reports what it sees, and counts the others.
const REPORT: Duration = Duration::from_secs(3);

/// What one incarnation shares.
pub(crate) struct Fleet {
    pub(crate) ledger: Ledger,
    pub(crate) roster: Arc<Roster>,
    pub(crate) catalog: CatalogHandle,
    pub(crate) time: LedgerTime,
    pub(crate) worker: WorkerId,
}

impl Fleet {
    /// Tells and hears, for ever.
    pub(crate) async fn run(self) {
        let mut mark = None;
        let mut report_at = Instant::now();
        let mut back_off = BackOff::for_ledger();
        loop {
            match self.turn(&mut mark, &mut report_at).await {
                Ok(()) => {
                    back_off.reset();
                    // Whether something is to be told or not, the others are heard.
                    let _ = tokio::time::timeout(jittered(HEAR, 0.9..1.1), self.roster.news()).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot share what providers do");
                    tokio::time::sleep(back_off.next()).await;
                }
            }
        }
    }

    async fn turn(&self, mark: &mut Option<NewsMark>, report_at: &mut Instant) -> Result<(), LedgerError> {
        self.tell().await?;
        let heard = self.ledger.fleet.breakers(*mark).await?;
        *mark = Some(heard.mark);
        let router = self.roster.router();
        for news in &heard.news {
            if router.hear(news, router.now(), self.time.now()) {
                let BreakerNews {
                    provider,
                    model,
                    state,
                    ..
                } = news;
                tracing::info!(
                    provider,
                    model,
                    state = state.as_str(),
                    "another worker's breaker changed"
                );
            }
        }
        if Instant::now() >= *report_at {
            *report_at = Instant::now() + jittered(REPORT, 0.9..1.1);
            let report = self.roster.report(self.time.now()).to_json();
            self.ledger.fleet.report_figures(self.worker, &report).await?;
            let workers = self.ledger.upkeep.live_workers().await?.len();
            let workers = u32::try_from(workers).ok().and_then(NonZeroU32::new);
            self.roster
                .shared_by(workers.unwrap_or(NonZeroU32::MIN), &self.catalog);
        }
        Ok(())
    }

    /// Tells what changed here; what cannot be told is told later.
    async fn tell(&self) -> Result<(), LedgerError> {
        let untold = self.roster.untold();
        if untold.is_empty() {
            return Ok(());
        }
        let router = self.roster.router();
        let (now, wall) = (router.now(), self.time.now());
        let news = |(provider, model): &Pair| router.news_of(provider, model, now, wall);
        let news: Vec<BreakerNews> = untold.iter().filter_map(news).collect();
        let told = self.ledger.fleet.share_breakers(&news).await;
        if told.is_err() {
            self.roster.learned(untold);
        }
        told
    }
}
