//! Promise 11, counted: one tenant's ten thousand queued runs delay another's single run by at most twice as many claims
//! as there are slots, and no class starves.
//!
//! Runs that hold their slot until they are cancelled make the counting exact: nothing is claimed but what the test lets
//! be claimed, so no clock and no race has a say.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;

use crate::stage::{Client, Mode, Stage, all_modes, soon};

const SLOTS: usize = 4;
const DEPTH: usize = 10_000;
const ACME: &str = "acme-0123456789abcdef";
const BETA: &str = "beta-0123456789abcdef";
const KEYS: (&str, &str) = (
    "MCP_API_KEYS",
    "acme:acme-0123456789abcdef,beta:beta-0123456789abcdef,ops:ops-0123456789abcdef:admin",
);

/// A provider call that never ends by itself.
const HOLD: &str = "sim:fault=stall_headers";

/// Queues many runs of one tenant.
async fn flood(client: &Client, model: &str, runs: usize) {
    let body = json!({"prompt": "x", "model": model});
    let submits = stream::iter(0..runs)
        .map(|_| client.submit(&body))
        .buffer_unordered(64);
    let accepted: Vec<String> = submits.collect().await;
    assert_eq!(accepted.len(), runs);
}

async fn queued(admin: &Client) -> u64 {
    let metrics = admin.get("/mcp/v1/admin/metrics").await;
    let classes = metrics.body["classes"].as_array().expect("classes").clone();
    classes
        .iter()
        .map(|class| class["ready"].as_u64().expect("a number"))
        .sum()
}

/// Models of provider calls in the order in which they came, from the `after`-th on.
fn calls(stage: &Stage, after: u64) -> Vec<String> {
    let calls = stage.simulator.requests();
    calls
        .into_iter()
        .filter(|call| call.number > after)
        .map(|call| call.model)
        .collect()
}

/// Cancels a running run and waits until another has its slot.
async fn replace(stage: &Stage, client: &Client, run: &str) {
    let seen = stage.simulator.stats().requests;
    assert!(client.cancel(run).await.status.is_success());
    let replaced = stage
        .simulator
        .wait_for(|stats| stats.requests > seen && stats.open == SLOTS as u64);
    soon("the slot is taken again", replaced).await;
}

/// Gives slots back one at a time until a call of this model comes; returns how many calls came before it, from the
/// `after`-th on.
async fn calls_until(stage: &Stage, acme: &Client, model: &str, after: u64) -> usize {
    loop {
        soon(
            "every slot is taken",
            stage.simulator.wait_for(|stats| stats.open == SLOTS as u64),
        )
        .await;
        let calls = calls(stage, after);
        if let Some(position) = calls.iter().position(|call| call == model) {
            return position;
        }
        assert!(calls.len() <= 2 * SLOTS, "the single run waits and waits");
        let running = acme.get("/mcp/v1/requests?status=running&limit=1").await;
        let run = running.body["requests"][0]["request_id"]
            .as_str()
            .expect("a running run")
            .to_owned();
        replace(stage, acme, &run).await;
    }
}

all_modes! {
    async fn ten_thousand_runs_of_one_tenant_do_not_keep_another_waiting(mode: Mode) {
        let slots = SLOTS.to_string();
        let settings = [KEYS, ("MCP_SLOTS", slots.as_str()), ("RUST_LOG", "warn,worker::incarnation=info,mcpctl=info")];
        let mut stage = Stage::empty(mode, &settings).await;
        stage.start_api().await;
        let admin = stage.client();
        let (acme, beta) = (admin.with_key(ACME), admin.with_key(BETA));
        flood(&acme, HOLD, DEPTH).await;
        let single = "sim:fault=stall_headers,key=early";
        let run = beta.submit_to(single).await;
        if mode.is_cluster() {
            assert_eq!(queued(&admin).await, DEPTH as u64 + 1);
            stage.start_worker().await;
        }
        // Embedded, the worker was there all the time and took what it could before the single run came.
        let before = if mode.is_cluster() { 0 } else { SLOTS };
        let calls = calls_until(&stage, &acme, single, 0).await;
        assert!(calls <= before + 2 * SLOTS, "{calls}");
        replace(&stage, &beta, &run).await;

        // The same while the worker is busy with them, again and again.
        for late in 0..5 {
            assert!(queued(&admin).await > DEPTH as u64 - 100, "the queue is as deep as promised");
            let after = stage.simulator.stats().requests;
            let single = format!("sim:fault=stall_headers,key=late-{late}");
            let run = beta.submit_to(&single).await;
            let calls = calls_until(&stage, &acme, &single, after).await;
            assert!(calls <= 2 * SLOTS, "{calls}");
            replace(&stage, &beta, &run).await;
        }
        // What nobody will run any more goes with the database.
        stage.abandon().await;
    }

    async fn a_single_run_overtakes_a_flood_at_full_speed(mode: Mode) {
        let slots = SLOTS.to_string();
        let settings = [KEYS, ("MCP_SLOTS", slots.as_str()), ("RUST_LOG", "warn,worker::incarnation=info,mcpctl=info")];
        let stage = Stage::with(mode, &settings).await;
        let admin = stage.client();
        let (acme, beta) = (admin.with_key(ACME), admin.with_key(BETA));
        let mut holders = Vec::new();
        for _ in 0..SLOTS {
            holders.push(acme.submit_to(HOLD).await);
        }
        soon("every slot is taken", stage.simulator.wait_for(|stats| stats.open == SLOTS as u64)).await;
        flood(&acme, "sim-fast:tokens=1", 2_000).await;
        let single = beta.submit_to("sim-fast:tokens=1,key=single").await;
        for run in &holders {
            assert!(acme.cancel(run).await.status.is_success());
        }
        assert_eq!(beta.result(&single).await["status"], "succeeded");
        let single = beta.run(&single).await["started_at"].as_str().expect("a moment").to_owned();

        // Claims of the other tenant up to the single run's own, by the ledger.
        let mut before = 0;
        let mut cursor = String::new();
        loop {
            let page = acme.get(&format!("/mcp/v1/requests?limit=200{cursor}")).await;
            let runs = page.body["requests"].as_array().expect("runs");
            before += runs
                .iter()
                .filter(|run| run["started_at"].as_str().is_some_and(|started| started <= single.as_str()))
                .count();
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let before = before - holders.len();
        assert!(before <= 2 * SLOTS, "{before}");
        stage.close().await;
    }

    async fn no_class_starves(mode: Mode) {
        // With one slot the order of provider calls is the order of claims.
        let stage = Stage::with(mode, &[("MCP_SLOTS", "1")]).await;
        let client = stage.client();
        let holder = client.submit_to(HOLD).await;
        soon("the slot is taken", stage.simulator.wait_for(|stats| stats.open == 1)).await;
        let classes = [("interactive", 90, 40), ("standard", 50, 20), ("batch", 10, 10)];
        for (class, priority, runs) in classes {
            let body = json!({"prompt": "x", "model": format!("sim-fast:tokens=1,key={class}"), "priority": priority});
            for _ in 0..runs {
                client.submit(&body).await;
            }
        }
        client.cancel(&holder).await;
        soon("all of them", stage.simulator.wait_for(|stats| stats.completed == 70)).await;

        let order: Vec<String> = calls(&stage, 1)
            .iter()
            .map(|model| model.rsplit('=').next().expect("a class").to_owned())
            .collect();
        assert_eq!(order.len(), 70);
        // As long as every class has work, each dozen of claims is shared among them by weight.
        for dozen in order[..48].windows(12) {
            let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
            for class in dozen {
                *shares.entry(class).or_default() += 1;
            }
            let share = |class: &str| shares.get(class).copied().unwrap_or(0);
            assert!(share("batch") >= 1, "{dozen:?}");
            assert!(share("standard") >= 2, "{dozen:?}");
            assert!(share("interactive") >= 6, "{dozen:?}");
        }
        stage.close().await;
    }
}
