//! What operators and their machines look at.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use shared::domain::WorkerId;
use shared::ledger::NewWorker;

use crate::server::{EventSource, Server, heard};
use crate::stage::Stage;

#[tokio::test]
async fn admins_see_the_queue_the_workers_and_what_the_load_asks_for() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    for _ in 0..24 {
        stage.accept("local").await;
    }
    let running = stage.accept("local").await;
    let _attempt = stage.start(running).await;

    let figures = server.json("/mcp/v1/admin/metrics").await;
    let classes = figures["classes"].as_array().unwrap();
    let names: Vec<_> = classes
        .iter()
        .map(|class| class["class"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["interactive", "standard", "batch"]);
    assert_eq!(
        (
            &classes[1]["ready"],
            &classes[1]["running"],
            &classes[1]["delayed"]
        ),
        (&json!(24), &json!(1), &json!(0))
    );
    assert!(classes[1]["oldest_ready_age_ms"].is_u64() && classes[0]["oldest_ready_age_ms"].is_null());
    assert_eq!(figures["workers"][0]["name"], "stage");
    assert_eq!(figures["workers"][0]["running"], 1);
    // 25 runs on workers of ten slots.
    assert_eq!(
        (&figures["slots_total"], &figures["desired_workers"]),
        (&json!(10), &json!(3))
    );
    assert!(figures["pool"]["max"].as_u64().unwrap() >= figures["pool"]["size"].as_u64().unwrap());

    let response = server.get("/metrics", &[]).await;
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    for line in [
        r#"mcp_queue_ready{class="standard"} 24"#,
        "mcp_workers_desired 3",
        "mcp_ledger_up 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_watches_is_counted() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let mut events = EventSource::of(server.get(&format!("/mcp/v1/request/{run}/events"), &[]).await);
    events.entry().await.unwrap();
    let mut socket = server.socket(&format!("/mcp/v1/stream/{run}")).await;
    heard(&mut socket).await.unwrap();
    let text = server.get("/metrics", &[]).await.text().await.unwrap();
    for transport in ["sse", "websocket"] {
        // Other tests watch, too.
        let name = format!(r#"mcp_watchers{{transport="{transport}"}} "#);
        let count = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        assert!(count.parse::<f64>().unwrap() >= 1.0, "{text}");
    }
    drop((events, socket));
    server.stop().await;
}

#[tokio::test]
async fn admins_see_the_providers_as_the_workers_do() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let nothing = json!({"providers": [], "models": [], "workers": []});
    assert_eq!(server.json("/mcp/v1/admin/providers").await, nothing);
    let model = json!({"provider": "openai", "model": "gpt", "calls": 4, "failures": 1, "first_token_ms": 250.0,
        "tokens_per_second": null, "error_rate": 0.25, "in_flight": 2, "headroom": 1.0, "breaker": "open",
        "open_until": "2026-01-01T00:00:00.000Z", "cost_usd": 0.5});
    let live = json!({"provider": "openai", "keys": 2, "local": false, "simulated": false});
    let report = json!({"providers": [live], "models": [model], "more": 3});
    let seer = NewWorker {
        id: WorkerId::new(),
        name: "seer".to_owned(),
        slots: 1,
    };
    let ledger = &stage.ledger;
    ledger
        .execute
        .register(&seer, Duration::from_secs(3_600))
        .await
        .unwrap();
    ledger
        .fleet
        .report_figures(seer.id, &report.to_string())
        .await
        .unwrap();
    let seen = server.json("/mcp/v1/admin/providers").await;
    assert_eq!(seen["models"], json!([model]));
    assert_eq!(
        (&seen["providers"][0]["keys"], &seen["providers"][0]["workers"]),
        (&json!(2), &json!(1))
    );
    let [worker] = seen["workers"].as_array().unwrap().as_slice() else {
        panic!("{seen}")
    };
    assert_eq!((&worker["name"], &worker["more"]), (&json!("seer"), &json!(3)));
    assert_eq!(worker["models"], json!([model]));
    assert!(worker["reported_at"].is_string());
    server.stop().await;
}

#[tokio::test]
async fn only_admins_see_them() {
    let stage = Stage::open().await;
    let server =
        Server::start_with_keys(&stage, &["acme:acme-0123456789ab", "ops:ops-0123456789abc:admin"]).await;
    for path in ["/mcp/v1/admin/metrics", "/mcp/v1/admin/providers", "/metrics"] {
        assert_eq!(server.refusal(path, &[]).await, (401, "unauthorized".to_owned()));
        let acme = ("x-api-key", "acme-0123456789ab");
        assert_eq!(
            server.refusal(path, &[acme]).await,
            (403, "admin_required".to_owned())
        );
        let ops = ("authorization", "Bearer ops-0123456789abc");
        assert_eq!(server.get(path, &[ops]).await.status(), StatusCode::OK);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_draining_process_lives_and_is_not_ready() {
    let stage = Stage::open().await;
    // Probes bring no key.
    let server = Server::start_with_keys(&stage, &["acme:acme-0123456789ab"]).await;
    for path in ["/health", "/healthz", "/health/ready", "/readyz"] {
        assert_eq!(server.json(path).await, json!({"status": "ok"}), "{path}");
    }
    server.drain.begin();
    for path in ["/health", "/healthz"] {
        assert_eq!(server.json(path).await, json!({"status": "ok"}), "{path}");
    }
    for path in ["/health/ready", "/readyz"] {
        let response = server.get(path, &[]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(
            body,
            json!({"status": "unavailable", "reasons": ["draining"]}),
            "{path}"
        );
    }
    server.stop().await;
}
