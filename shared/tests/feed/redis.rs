//! What the feed over Redis adds: nothing is missed when messages are lost or Redis goes away, and channels are left.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use shared::config::RedisConfig;
use shared::domain::{Cursor, RunId};
use shared::feed::{News, RedisFeed};
use shared::ledger::Log;
use shared::redis_link::RedisLink;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fixture::{Fixture, delta, new_run, output};
use crate::stage::{Stage, hear_until, next};

/// The tests' Redis, with a prefix that nobody else uses.
pub(crate) fn prefixed() -> RedisConfig {
    let url = std::env::var("TEST_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let mut config = RedisConfig::new(SecretString::from(url));
    config.prefix = format!("test-{}", RunId::new().uuid().simple());
    // A machine busy with other tests is not an outage.
    config.timeout = Duration::from_secs(10);
    config
}

/// A process with a feed.
pub(crate) struct Side {
    pub(crate) link: Arc<RedisLink>,
    pub(crate) feed: Arc<RedisFeed>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Side {
    pub(crate) async fn open(config: &RedisConfig, log: Arc<dyn Log>) -> Self {
        let link = RedisLink::open(config).await.expect("Redis answers");
        let feed = RedisFeed::new(Arc::clone(&link), log);
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn({
            let (link, shutdown) = (Arc::clone(&link), shutdown.clone());
            async move { link.run(shutdown).await }
        });
        tasks.spawn({
            let (feed, shutdown) = (Arc::clone(&feed), shutdown.clone());
            async move { feed.run(shutdown).await }
        });
        Self {
            link,
            feed,
            tasks,
            shutdown,
        }
    }

    pub(crate) async fn close(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What Redis says about a channel of this installation: how many have joined it.
    async fn joined(&self, run: RunId) -> i64 {
        let mut command = redis::cmd("PUBSUB");
        command
            .arg("SHARDNUMSUB")
            .arg(self.link.key(&format!("feed:{{{run}}}")));
        let (_, count): (String, i64) = self.link.query(&command).await.expect("Redis answers");
        count
    }

    /// Cuts this process's connection on the server's side.
    async fn cut(&self) {
        let mut ask = redis::cmd("CLIENT");
        ask.arg("ID");
        let id: i64 = self.link.query(&ask).await.expect("Redis answers");
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(id);
        // The answer may be lost with the connection.
        let _: Result<i64, _> = self.link.query(&kill).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_was_never_published_is_found() {
    Fixture::postgres()
        .await
        .run(async |fixture| {
            let config = prefixed();
            let api = Side::open(&config, fixture.log.clone()).await;
            let (worker, claimed) = fixture.holder(new_run("acme")).await;
            let after = Cursor::new(1, 1);
            let mut subscription = api.feed.feed().subscribe.subscribe(claimed.id, after).await;
            fixture.append(worker, output(&claimed, 2, "unheard")).await;
            assert_eq!(
                hear_until(&mut subscription, Cursor::new(1, 2)).await,
                [delta(1, 2, "unheard")]
            );
            api.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn channels_are_joined_again_after_a_cut_and_left_at_the_end() {
    Fixture::postgres()
        .await
        .run(async |fixture| {
            Stage::redis(fixture, async |stage| {
                let api = stage.watching.as_ref().expect("a side that watches");
                let mut run = stage.run().await;
                let mut first = stage.subscribe(&run).await;
                let second = stage.subscribe(&run).await;
                assert_eq!(api.joined(run.id).await, 1, "one channel, however many watch");
                drop(second);
                let committed = stage.commit(&mut run, &["a"]).await;
                assert_eq!(hear_until(&mut first, run.last).await, committed);

                api.cut().await;
                until(async || api.link.is_up() && api.joined(run.id).await == 1).await;
                let committed = stage.commit(&mut run, &["b"]).await;
                // What the tail found meanwhile may have come as well.
                let heard = next(&mut first).await;
                assert!(matches!(heard, News::Entries(entries) if *entries == *committed));

                drop(first);
                until(async || api.joined(run.id).await == 0).await;
            })
            .await;
        })
        .await;
}

/// Asks until it is so.
async fn until(condition: impl AsyncFn() -> bool) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asking)
        .await
        .expect("it never came to be");
}
