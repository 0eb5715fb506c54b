//! What only waits must not hide what could run: however many tenants stand before it, none are proposed only when
//! there are none.

use shared::domain::RunId;
use shared::ledger::NewRun;

use crate::fixture::{LONG, new_run};
use crate::stage::{Process, Stage};

crate::contract!(
    thousands_of_delayed_runs_hide_nothing,
    a_thousand_tenants_at_their_limit_hide_nothing;
    ledger:
    the_ledger_finds_it_at_once_among_a_thousand_tenants_at_their_limit,
);

/// More than any page of tenants.
const TENANTS: usize = 1_250;

/// Runs of so many tenants, in the order of their names.
fn crowd(runs_each: usize) -> Vec<NewRun> {
    (0..TENANTS)
        .flat_map(|n| (0..runs_each).map(move |_| new_run(&format!("m{n:04}"))))
        .collect()
}

/// The only run that is granted, after no more than one look at every tenant. How many looks were in vain.
async fn only(
    s: &Stage<'_>,
    process: &mut Process<'_>,
    limit: usize,
    tenant_limit: Option<u32>,
    name: &str,
) -> usize {
    let run: RunId = s.submit(&[new_run(name)]).await[0];
    let mut looks = 0;
    loop {
        let hints = process.propose_within(limit, tenant_limit).await;
        let granted = process.claim_within(&hints, tenant_limit).await;
        if !granted.is_empty() {
            assert_eq!(granted.iter().map(|hint| hint.run).collect::<Vec<_>>(), [run]);
            break;
        }
        looks += 1;
        assert!(looks * limit <= TENANTS, "{run} is hidden");
    }
    let rest = process.propose_within(64, tenant_limit).await;
    assert_eq!(process.claim_within(&rest, tenant_limit).await, []);
    looks
}

async fn thousands_of_delayed_runs_hide_nothing(s: &Stage<'_>) {
    let crowd = crowd(8);
    s.submit.accept(&crowd).await.unwrap();
    s.sql("UPDATE mcp_request SET not_before = not_before + 3600000 WHERE tenant LIKE 'm%'")
        .await
        .unwrap();
    s.offer_in(&crowd, LONG).await;
    let mut process = s.process(64).await;
    assert_eq!(process.propose(64).await, []);
    for tenant_limit in [None, Some(2)] {
        // Before, after and amid the crowd, with the ring standing before, after and amid it.
        for name in ["z", "n", "a", "m0600x", "m0599x", "m0599x"] {
            only(s, &mut process, 1, tenant_limit, name).await;
            process.finish_all().await;
        }
    }
}

/// A crowd of tenants that run as much as they may, and a process that holds it.
async fn at_their_limit<'a>(s: &'a Stage<'_>) -> Process<'a> {
    s.submit(&crowd(2)).await;
    let mut process = s.process(10_000).await;
    let mut running = 0;
    while running < TENANTS {
        let hints = process.propose_within(500, Some(1)).await;
        running += process.claim_within(&hints, Some(1)).await.len();
    }
    assert_eq!(running, TENANTS);
    process
}

async fn a_thousand_tenants_at_their_limit_hide_nothing(s: &Stage<'_>) {
    let mut process = at_their_limit(s).await;
    for name in ["z", "n", "a", "m0600x"] {
        only(s, &mut process, 64, Some(1), name).await;
    }
}

async fn the_ledger_finds_it_at_once_among_a_thousand_tenants_at_their_limit(s: &Stage<'_>) {
    let mut process = at_their_limit(s).await;
    assert_eq!(process.propose_within(500, Some(1)).await, []);
    for name in ["z", "n", "a", "m0600x"] {
        assert_eq!(only(s, &mut process, 1, Some(1), name).await, 0, "looks in vain");
    }
}
