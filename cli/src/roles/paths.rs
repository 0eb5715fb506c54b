//! The ways between processes that share a database: how work gets to the workers, and what they commit to the watchers.
//! Over the database alone, or over Redis as well.

use shared::config::RedisConfig;
use shared::dispatch::{Dispatch, LedgerDispatch, RedisDispatch};
use shared::feed::{Feed, RedisFeed, TailFeed};
use shared::ledger::Ledger;
use shared::redis_link::RedisLink;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::start;
use crate::exit::CliError;

/// Both ways.
pub(crate) struct Paths {
    pub(crate) dispatch: Dispatch,
    pub(crate) feed: Feed,
}

impl Paths {
    /// Opens them; what keeps them open runs on `tasks` until `closing`. A Redis that is named and does not answer is an
    /// error: nobody shall believe to have the fast path who has not.
    pub(crate) async fn open(
        ledger: &Ledger,
        redis: Option<&RedisConfig>,
        tasks: &TaskTracker,
        closing: &CancellationToken,
    ) -> Result<Self, CliError> {
        match redis {
            Some(config) => Self::over_redis(ledger, config, tasks, closing).await,
            None => Ok(Self::over_the_database(ledger, tasks, closing)),
        }
    }

    fn over_the_database(ledger: &Ledger, tasks: &TaskTracker, closing: &CancellationToken) -> Self {
        let tail = TailFeed::new(ledger.log.clone());
        let feed = tail.feed();
        let closing = closing.clone();
        tasks.spawn(async move { tail.run(closing).await });
        Self {
            dispatch: LedgerDispatch::dispatch(ledger.backlog.clone()),
            feed,
        }
    }

    async fn over_redis(
        ledger: &Ledger,
        config: &RedisConfig,
        tasks: &TaskTracker,
        closing: &CancellationToken,
    ) -> Result<Self, CliError> {
        let link = RedisLink::open(config).await.map_err(|error| {
            start::broken(
                "cannot use Redis",
                error,
                "see that Redis runs and that REDIS_URL names it, or unset it: the database alone does everything",
            )
        })?;
        let redis_feed = RedisFeed::new(link.clone(), ledger.log.clone());
        let paths = Self {
            dispatch: RedisDispatch::dispatch(link.clone(), ledger.backlog.clone()),
            feed: redis_feed.feed(),
        };
        let ending = closing.clone();
        tasks.spawn(async move { link.run(ending).await });
        let ending = closing.clone();
        tasks.spawn(async move { redis_feed.run(ending).await });
        Ok(paths)
    }
}
