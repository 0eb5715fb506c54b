//! No class starves, and no tenant waits for another's backlog: counted in claims, never in time.

use std::collections::HashSet;

use shared::domain::{Class, RunId, TenantId};
use shared::ledger::NewRun;

use crate::fixture::{new_run, tenant};
use crate::stage::{Process, Stage};

crate::contract!(
    classes_share_by_weight,
    an_idle_class_leaves_its_share_to_the_others,
    tenants_take_turns,
    a_single_run_passes_ten_thousand,
    a_single_run_that_comes_late_passes_ten_thousand,
    a_single_run_passes_ten_thousand_also_with_two_processes,
);

/// Slots of a worker.
const SLOTS: [usize; 3] = [1, 4, 64];

async fn classes_share_by_weight(s: &Stage<'_>) {
    let mut runs = Vec::new();
    for n in 0..120 {
        for class in Class::ALL {
            runs.push(NewRun {
                class,
                ..new_run(["acme", "beta"][n % 2])
            });
        }
    }
    s.submit(&runs).await;
    for limit in [1, 5, 12] {
        let mut process = s.process(1_000).await;
        let mut claims: Vec<Class> = Vec::new();
        while claims.len() < 48 {
            let hints = process.propose(limit).await;
            let granted = process.claim(&hints).await;
            assert!(!granted.is_empty());
            claims.extend(granted.iter().map(|hint| hint.class));
        }
        for dozen in claims.windows(12) {
            for (class, at_least) in [(Class::Interactive, 6), (Class::Standard, 2), (Class::Batch, 1)] {
                let count = dozen.iter().filter(|claimed| **claimed == class).count();
                assert!(
                    count >= at_least,
                    "{count} of {class} in {dozen:?}, {limit} at a time"
                );
            }
        }
    }
}

async fn an_idle_class_leaves_its_share_to_the_others(s: &Stage<'_>) {
    let runs: Vec<NewRun> = (0..20)
        .map(|_| NewRun {
            class: Class::Batch,
            ..new_run("acme")
        })
        .collect();
    s.submit(&runs).await;
    let mut process = s.process(64).await;
    let hints = process.propose(20).await;
    assert_eq!(process.claim(&hints).await.len(), 20);
    // Having had everything costs the batch class nothing later, and gives the others nothing but their share.
    let urgent = NewRun {
        class: Class::Interactive,
        ..new_run("acme")
    };
    let urgent = [
        s.submit(&[urgent]).await,
        s.submit(&[runs[0].clone()].map(again)).await,
    ];
    let both: HashSet<RunId> = process.propose(2).await.iter().map(|hint| hint.run).collect();
    assert_eq!(both, urgent.concat().into_iter().collect());
}

/// Another run like this one.
fn again(run: NewRun) -> NewRun {
    NewRun {
        id: RunId::new(),
        ..run
    }
}

async fn tenants_take_turns(s: &Stage<'_>) {
    let names = ["acme", "beta", "zeta"];
    for name in names {
        s.submit(&std::array::from_fn::<_, 40, _>(|_| new_run(name)))
            .await;
    }
    for limit in [1, 2, 9] {
        let mut process = s.process(1_000).await;
        let mut claims: Vec<TenantId> = Vec::new();
        while claims.len() < 27 {
            let hints = process.propose(limit).await;
            let granted = process.claim(&hints).await;
            assert!(!granted.is_empty());
            claims.extend(granted.into_iter().map(|hint| hint.tenant));
        }
        for turn in claims.chunks_exact(3) {
            let served: HashSet<&TenantId> = turn.iter().collect();
            assert_eq!(served.len(), names.len(), "{claims:?}, {limit} at a time");
        }
    }
}

/// The tenant that would keep everybody waiting.
async fn ten_thousand(s: &Stage<'_>) {
    let crowd: Vec<NewRun> = (0..10_000).map(|_| new_run("crowd")).collect();
    s.submit(&crowd).await;
}

/// How slots become free.
#[derive(Clone, Copy)]
enum Freed {
    One,
    All,
}

/// Claims granted until this run is among them; never more than `bound`.
async fn claims_until(processes: &mut [Process<'_>], run: RunId, freed: Freed, bound: usize) {
    let mut claims = 0;
    loop {
        // All look at the same queue before any of them claims.
        let mut proposals = Vec::new();
        for process in &*processes {
            proposals.push(process.propose_for_free_slots().await);
        }
        for (process, hints) in processes.iter_mut().zip(proposals) {
            for granted in process.claim(&hints).await {
                claims += 1;
                assert!(claims <= bound, "more than {bound} claims");
                if granted.run == run {
                    return;
                }
            }
        }
        for process in &mut *processes {
            match freed {
                Freed::One => process.finish_one().await,
                Freed::All => process.finish_all().await,
            }
        }
    }
}

/// Tenants before and after the crowd in the order of names.
fn newcomers(slots: usize) -> [(TenantId, Freed); 4] {
    [
        (tenant(&format!("a{slots}")), Freed::One),
        (tenant(&format!("b{slots}")), Freed::All),
        (tenant(&format!("y{slots}")), Freed::One),
        (tenant(&format!("z{slots}")), Freed::All),
    ]
}

async fn a_single_run_passes_ten_thousand(s: &Stage<'_>) {
    ten_thousand(s).await;
    for slots in SLOTS {
        for (newcomer, freed) in newcomers(slots) {
            let run = s.submit(&[new_run(newcomer.as_str())]).await[0];
            let mut processes = [s.process(slots).await];
            claims_until(&mut processes, run, freed, 2 * slots).await;
        }
    }
}

async fn a_single_run_that_comes_late_passes_ten_thousand(s: &Stage<'_>) {
    ten_thousand(s).await;
    for slots in SLOTS {
        let mut processes = [s.process(slots).await];
        for (newcomer, freed) in newcomers(slots) {
            // Every slot is the crowd's, and has been for a while.
            for _ in 0..3 {
                let process = &mut processes[0];
                process.finish_all().await;
                let hints = process.propose_for_free_slots().await;
                assert_eq!(process.claim(&hints).await.len(), slots);
            }
            let run = s.submit(&[new_run(newcomer.as_str())]).await[0];
            claims_until(&mut processes, run, freed, 2 * slots).await;
        }
    }
}

async fn a_single_run_passes_ten_thousand_also_with_two_processes(s: &Stage<'_>) {
    ten_thousand(s).await;
    for slots in SLOTS {
        let mut processes = [s.process(slots).await, s.process(slots).await];
        for (newcomer, freed) in newcomers(slots) {
            let run = s.submit(&[new_run(newcomer.as_str())]).await[0];
            claims_until(&mut processes, run, freed, 2 * 2 * slots).await;
            for process in &mut processes {
                process.finish_all().await;
            }
        }
    }
}
