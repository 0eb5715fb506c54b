//! The contract of dispatch: what the doc comments of `Offer` and `Propose` promise, checked on every backend. A backend
//! joins by a module in [`contract`] and a way to open it in [`stage`]; the tests themselves never ask which one they
//! run on. Bounds are asserted, never one exact order of claims: the same promise may be kept in many orders.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on panics"
)]

mod fairness;
#[path = "../ledger/fixture.rs"]
#[expect(
    dead_code,
    reason = "the ledger's own suite uses all of its fixture, this one a part"
)]
mod fixture;
mod hidden;
mod kept;
mod losses;
mod proposing;
mod redis_server;
mod stage;
mod waking;

/// One test per named function and backend, or on those of one kind of dispatch; after a `;` what the ledger keeps beyond
/// what all do, when every proposal is read from it. A function that is not named is dead code, which the compiler says.
macro_rules! contract {
    (ledger: $($name:ident),* $(,)?) => {
        $crate::contract!(@ ledger_on_sqlite sqlite ledger $($name)*);
        $crate::contract!(@ ledger_on_postgres postgres ledger $($name)*);
        $crate::contract!(@ inside_one_process_on_sqlite sqlite inside $($name)*);
    };
    (redis: $($name:ident),* $(,)?) => {
        $crate::contract!(@ redis_on_postgres postgres redis $($name)*);
    };
    ($($name:ident),* $(,)? $(; ledger: $($exact:ident),* $(,)?)?) => {
        $crate::contract!(@ ledger_on_sqlite sqlite ledger $($name)* $($($exact)*)?);
        $crate::contract!(@ ledger_on_postgres postgres ledger $($name)* $($($exact)*)?);
        $crate::contract!(@ inside_one_process_on_sqlite sqlite inside $($name)*);
        $crate::contract!(redis: $($name),*);
    };
    (@ $backend:ident $database:ident $dispatch:ident $($name:ident)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    $crate::fixture::Fixture::$database()
                        .await
                        .run(async |fixture| $crate::stage::Stage::$dispatch(fixture, super::$name).await)
                        .await;
                }
            )*
        }
    };
}
pub(crate) use contract;
