//! Limits: how much may be queued, how much may run, for how long; and that what a limit takes away comes back.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stage::client::{Reply, assert_sound, kinds};
use crate::stage::{Client, Mode, Stage, all_modes, soon};

const KEYS: (&str, &str) = (
    "MCP_API_KEYS",
    "acme:acme-0123456789abcdef,beta:beta-0123456789abcdef,ops:ops-0123456789abcdef:admin",
);

/// A provider call that never ends by itself: it keeps a slot until it is cancelled.
const HOLD: &str = "sim:fault=stall_headers";

fn full(reply: &Reply, code: &str) {
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{}", reply.body);
    assert_eq!(reply.body["code"], code, "{}", reply.body);
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    let wait: u64 = reply.headers["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    assert!(wait >= 1);
}

/// Occupies so many slots.
async fn hold(stage: &Stage, client: &Client, slots: u64) -> Vec<String> {
    let mut holders = Vec::new();
    for _ in 0..slots {
        holders.push(client.submit_to(HOLD).await);
    }
    soon(
        "every slot is taken",
        stage.simulator.wait_for(|stats| stats.open == slots),
    )
    .await;
    holders
}

async fn release(client: &Client, holders: &[String]) {
    for run in holders {
        assert!(client.cancel(run).await.status.is_success());
        assert_eq!(client.result(run).await["status"], "cancelled");
    }
}

all_modes! {
    async fn a_full_queue_refuses_and_takes_again_when_it_has_drained(mode: Mode) {
        let limits = [KEYS, ("MCP_SLOTS", "1"), ("MCP_MAX_QUEUED_PER_TENANT", "3"), ("MCP_MAX_QUEUED", "5")];
        let stage = Stage::with(mode, &limits).await;
        let admin = stage.client();
        let (acme, beta) = (admin.with_key("acme-0123456789abcdef"), admin.with_key("beta-0123456789abcdef"));
        let holders = hold(&stage, &acme, 1).await;
        let body = json!({"prompt": "Hello", "model": "sim-fast:tokens=2"});
        let mut runs = Vec::new();
        for _ in 0..3 {
            runs.push(acme.submit(&body).await);
        }
        for _ in 0..3 {
            full(&acme.post(&body).await, "tenant_queue_full");
        }
        for _ in 0..2 {
            runs.push(beta.submit(&body).await);
        }
        full(&beta.post(&body).await, "queue_full");
        full(&admin.post(&body).await, "queue_full");
        let queued = admin.get("/mcp/v1/requests?status=queued&all_tenants=true").await;
        assert_eq!(queued.body["requests"].as_array().expect("runs").len(), 5, "a refused submit leaves nothing");

        release(&acme, &holders).await;
        for run in &runs {
            assert_eq!(admin.result(run).await["status"], "succeeded");
        }
        for client in [&acme, &beta, &admin] {
            let run = client.submit(&body).await;
            assert_eq!(client.result(&run).await["status"], "succeeded");
        }
        stage.close().await;
    }

    async fn a_tenant_runs_no_more_than_it_may_and_gets_all_of_it_back(mode: Mode) {
        let limits = [KEYS, ("MCP_SLOTS", "8"), ("MCP_MAX_RUNNING_PER_TENANT", "3")];
        let mut stage = Stage::with(mode, &limits).await;
        if mode.is_cluster() {
            stage.start_worker().await;
        }
        let admin = stage.client();
        let (acme, beta) = (admin.with_key("acme-0123456789abcdef"), admin.with_key("beta-0123456789abcdef"));
        // Every way in which a run can give its place back.
        let scripts = ["sim:first=20ms,tokens=5,pace=5ms", "sim:fault=400,first=10ms", "sim:fault=500,first=5ms", HOLD];
        let mut runs = Vec::new();
        for round in 0..40 {
            let script = match scripts[round % 4] {
                // Another model each time, so that each is called: an open breaker would keep it away.
                failing if failing.contains("fault=500") => format!("{failing},key={round}"),
                script => script.to_owned(),
            };
            runs.push((round % 4 == 3, acme.submit_to(&script).await));
        }
        join_all(runs.iter().map(async |(held, run)| {
            if *held {
                acme.watch(run, None).await.until("attempt.started").await;
                assert!(acme.cancel(run).await.status.is_success());
            }
            let result = acme.result(run).await;
            assert!(["succeeded", "failed", "cancelled"].iter().any(|end| result["status"] == *end), "{result}");
        }))
        .await;
        assert_eq!(stage.simulator.stats().peak_open, 3, "never more, and not less either");

        // All of it is there again, and each tenant has its own.
        let mut holders = hold(&stage, &acme, 3).await;
        let late = acme.submit_to("sim-fast:tokens=1").await;
        for _ in 0..3 {
            holders.push(beta.submit_to(HOLD).await);
        }
        soon("both tenants' places", stage.simulator.wait_for(|stats| stats.open == 6)).await;
        assert_eq!(acme.run(&late).await["status"], "queued");
        release(&admin, &holders).await;
        assert_eq!(acme.result(&late).await["status"], "succeeded");
        stage.close().await;
    }

    async fn slots_are_never_exceeded_and_always_come_back(mode: Mode) {
        let stage = Stage::with(mode, &[("MCP_SLOTS", "2"), ("MCP_PROVIDER_ATTEMPTS", "2")]).await;
        let client = stage.client();
        for round in 0..10 {
            let mut runs = Vec::new();
            for script in ["sim:fault=400", "sim:fault=503", "sim:tokens=2,fault=cut,after=1", "sim:first=5ms,tokens=2"] {
                // Another model each time, so that each is called: an open breaker would keep it away.
                runs.push(client.submit_to(&format!("{script},key={round}")).await);
            }
            for run in &runs {
                client.result(run).await;
            }
            let holders = hold(&stage, &client, 2).await;
            release(&client, &holders).await;
        }
        assert_eq!(stage.simulator.stats().peak_open, 2);
        let holders = hold(&stage, &client, 2).await;
        let waiting = client.submit_to("sim-fast:tokens=1").await;
        release(&client, &holders).await;
        assert_eq!(client.result(&waiting).await["status"], "succeeded");
        stage.close().await;
    }

    async fn deadlines_end_what_waits_and_what_runs(mode: Mode) {
        let stage = Stage::with(mode, &[("MCP_SLOTS", "1")]).await;
        let client = stage.client();
        let with_deadline = |model: &str, millis: u64| json!({"prompt": "Hello", "model": model, "deadline_ms": millis});
        let exceeded = async |run: &str| -> Vec<Value> {
            let result = client.result(run).await;
            assert_eq!(result["status"], "failed", "{result}");
            assert_eq!(result["error"]["code"], "deadline_exceeded", "{result}");
            let events = client.history(run).await;
            assert_sound(&events);
            events
        };

        // While it runs, and the provider call goes with it.
        let running = client.submit(&with_deadline("sim:tokens=1000000,pace=20ms", 700)).await;
        let events = exceeded(&running).await;
        assert_eq!(kinds(&events)[..3], ["run.queued", "attempt.started", "route.selected"]);
        soon("the call is dropped", stage.simulator.wait_for(|stats| stats.open == 0)).await;
        assert_eq!(stage.simulator.stats().dropped, 1);

        // While it waits: for a slot, and for another try.
        let holders = hold(&stage, &client, 1).await;
        let queued = client.submit(&with_deadline("sim-fast:key=never-called", 200)).await;
        assert_eq!(kinds(&exceeded(&queued).await), ["run.queued", "run.failed"]);
        release(&client, &holders).await;
        // In time is in time.
        let quick = client.submit(&with_deadline("sim-fast:tokens=2", 60_000)).await;
        assert_eq!(client.result(&quick).await["status"], "succeeded");

        // From here on nobody is sent to that key for an hour.
        let delayed = client.submit(&with_deadline("sim:fault=429,retry_after=3600", 2_000)).await;
        assert_eq!(kinds(&exceeded(&delayed).await)[3..], ["provider.failed", "run.requeued", "run.failed"]);

        let called = stage.simulator.requests();
        assert!(called.iter().all(|call| call.model != "sim-fast:key=never-called"));
        stage.close().await;
    }

    async fn an_executor_that_panics_gives_its_slot_back(mode: Mode) {
        let stage = Stage::with(mode, &[("MCP_SLOTS", "2"), ("FAILPOINTS", "worker::execute=5*panic->off")]).await;
        let client = stage.client();
        for _ in 0..5 {
            let run = client.submit_to("sim-fast:tokens=1").await;
            let result = client.result(&run).await;
            assert_eq!(result["error"]["code"], "internal", "{result}");
            assert_eq!(result["error"]["retryable"], true, "{result}");
            assert_eq!(kinds(&client.history(&run).await), ["run.queued", "attempt.started", "run.failed"]);
        }
        let holders = hold(&stage, &client, 2).await;
        release(&client, &holders).await;
        let metrics = client.send(client.request(Method::GET, "/mcp/v1/admin/metrics")).await;
        for class in metrics.body["classes"].as_array().expect("classes") {
            assert_eq!(class["running"], 0, "{class}");
        }
        // Not taken down by the rules: its log has the panics that were asked for.
        stage.abandon().await;
    }
}
