//! Many runs and providers that fail: nobody is failed for a provider's fault while others are well, and an outage is not
//! amplified.

use std::io::Write as _;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use shared::domain::{EventType, Interruption, RunId, Status};

use crate::stage::{File, Setup, Stage, simulator, soon};

async fn submit(stage: &Stage, runs: usize) -> Vec<RunId> {
    let mut ids = Vec::with_capacity(runs);
    for _ in 0..runs {
        ids.push(stage.submit(Interruption::Restart, json!({})).await);
    }
    ids
}

/// How many runs were answered by three providers, one of which does as `script` says, how many calls that one saw, and
/// from claim to first output the time that 99 of 100 runs stayed below.
async fn three_providers(runs: usize, script: &str) -> (usize, u64, Duration) {
    let (a, b, c) = (simulator().await, simulator().await, simulator().await);
    let file = File::default()
        .provider("a", &a.base_url())
        .provider("b", &b.base_url())
        .provider("c", &c.base_url())
        .model("a", script, "m")
        .model("b", "sim-fast:tokens=4", "m")
        .model("c", "sim-fast:tokens=4", "m");
    let mut setup = Setup::new(&file);
    setup.worker.slots = 32;
    let stage = Stage::with(setup).await;
    let (mut well, mut first_tokens) = (0, Vec::new());
    for id in submit(&stage, runs).await {
        let told = stage.told(id).await;
        well += usize::from(told.result.result.status == Status::Succeeded);
        let at = |kind| {
            told.entries
                .iter()
                .find(|entry| entry.kind == kind)
                .map(|entry| entry.at)
        };
        let times = at(EventType::OutputDelta).zip(at(EventType::AttemptStarted));
        first_tokens.extend(times.map(|(first, started)| first.since(started)));
    }
    first_tokens.sort_unstable();
    let p99 = first_tokens[first_tokens.len() * 99 / 100];
    let calls = a.stats().requests;
    stage.close().await;
    (well, calls, p99)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_failing_costs_hardly_a_run() {
    const RUNS: usize = 1_000;
    let (_, _, p99_well) = three_providers(RUNS, "sim-fast:tokens=4").await;
    let (well, failed, p99) = three_providers(RUNS, "sim-fast:tokens=4,fault=500").await;
    assert!(well * 1_000 >= RUNS * 999, "{well} of {RUNS} runs succeeded");
    // Until its breaker opens, and a few probes after.
    assert!(failed < 100, "{failed} calls met the one that fails");
    let mut out = std::io::stderr();
    writeln!(
        out,
        "{well} of {RUNS} succeeded, {failed} failed calls; p99 to the first token {p99:?}, with three that are well \
         {p99_well:?}"
    )
    .unwrap();
}

/// Every provider refuses every call, in a way that neither breaker nor pace holds back: only the budget does.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_not_amplified() {
    const RUNS: usize = 150;
    let (a, b, c) = (simulator().await, simulator().await, simulator().await);
    let all = [&a, &b, &c];
    let mut file = File::default();
    for (name, simulator) in ["a", "b", "c"].into_iter().zip(all) {
        file = file
            .provider(name, &simulator.base_url())
            .model(name, "sim-fast:fault=404", "m");
    }
    let stage = Stage::open(&file).await;
    let began = Instant::now();
    let ids = submit(&stage, RUNS).await;
    let mut waiting: FuturesUnordered<_> = ids
        .iter()
        .map(async |id| {
            let mut watcher = stage.watch(*id).await;
            while watcher.next().await.expect("an entry").kind != EventType::ProviderFailed {}
        })
        .collect();
    soon("every run's first call", async {
        while waiting.next().await.is_some() {}
    })
    .await;
    drop(waiting);
    let calls: u64 = all.iter().map(|simulator| simulator.stats().requests).sum();
    // A fifth, and what needs no calls: five at once and one in two seconds.
    let spare = 6 + began.elapsed().as_secs() / 2;
    assert!(
        calls <= RUNS as u64 * 6 / 5 + spare,
        "{calls} calls for {RUNS} runs"
    );
    assert!(calls >= RUNS as u64);
    // What waits for the budget would go on waiting: it is taken down with the ledger.
    stage.working.shutdown.hard.cancel();
    stage.close().await;
}
