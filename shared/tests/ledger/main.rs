//! The contract of the ledger: what the doc comments of its traits promise, checked on every backend. A backend joins
//! by a line in [`contract`] and a way to open it in [`fixture`]; the tests themselves never ask which one they run on.
//!
//! After each test the whole database is checked for what must hold at any time (see `fixture::INVARIANTS`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on panics"
)]

mod append;
mod backlog;
mod cancel;
mod claim;
mod duties;
mod fences;
mod fixture;
mod fleet;
mod log;
mod reader;
mod reap;
mod retention;
mod schema;
mod submit;
mod usage;
mod workers;

/// One test per named function and backend: `sqlite::…` and `postgres::…`. A function that is not named is dead code,
/// which the compiler says.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    $crate::fixture::Fixture::sqlite().await.run(super::$name).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    $crate::fixture::Fixture::postgres().await.run(super::$name).await;
                }
            )*
        }
    };
}
pub(crate) use contract;
