//! The contract of the feed: what the doc comments of `Publish` and `Subscribe` promise, checked on every backend. A
//! backend joins by a module in [`contract`] and a way to open it in [`stage`]; the tests themselves never ask which one
//! they run on. What only one backend adds has a file of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on panics"
)]

mod delivery;
#[path = "../ledger/fixture.rs"]
#[expect(
    dead_code,
    reason = "the ledger's own suite uses all of its fixture, this one a part"
)]
mod fixture;
mod local;
mod probe;
mod redis;
mod slow;
mod stage;
mod tailing;

/// One test per named function and backend. A function that is not named is dead code, which the compiler says.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod local_over_nothing {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name(&$crate::stage::Stage::local()).await;
                }
            )*
        }
        $crate::contract!(@ tail_over_sqlite sqlite tail $($name)*);
        $crate::contract!(@ tail_over_postgres postgres tail $($name)*);
        $crate::contract!(@ redis_over_postgres postgres redis $($name)*);
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
