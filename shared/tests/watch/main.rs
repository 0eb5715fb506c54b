//! The contract of watching (promise 4): strictly increasing cursors, no gap, no repeat, and an end after the terminal
//! event; whatever the feed loses, and whenever one joins. Checked over every feed on every ledger. The truth is the
//! ledger's own log: what a watcher saw is compared with it entry by entry, as it came.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on panics"
)]

mod cursors;
mod faults;
#[path = "../ledger/fixture.rs"]
#[expect(
    dead_code,
    reason = "the ledger's own suite uses all of its fixture, this one a part"
)]
mod fixture;
mod joining;
mod life;
mod lossy;
#[path = "../feed/probe.rs"]
mod probe;
mod schedule;
mod stage;

/// One test per named function, feed and ledger. A function that is not named is dead code, which the compiler says.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        $crate::contract!(@ local_on_sqlite sqlite local $($name)*);
        $crate::contract!(@ local_on_postgres postgres local $($name)*);
        $crate::contract!(@ tail_on_sqlite sqlite tail $($name)*);
        $crate::contract!(@ tail_on_postgres postgres tail $($name)*);
    };
    (@ $backend:ident $database:ident $feed:ident $($name:ident)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    $crate::fixture::Fixture::$database()
                        .await
                        .run(async |fixture| $crate::stage::Stage::$feed(fixture, super::$name).await)
                        .await;
                }
            )*
        }
    };
}
pub(crate) use contract;
