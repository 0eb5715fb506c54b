//! Who is let in, and whose runs they may touch.

use reqwest::RequestBuilder;
use serde_json::json;
use shared::domain::RunId;

use crate::house::{Answer, House, Plan, SUBMIT};

const KEYS: &[&str] = &[
    "acme:acme-0123456789abcdef",
    "beta:beta-0123456789abcdef",
    "ops:oper-0123456789abcdef:admin",
];
const ACME: &str = "acme-0123456789abcdef";
const BETA: &str = "beta-0123456789abcdef";
const ADMIN: &str = "oper-0123456789abcdef";

async fn guarded() -> House {
    House::build(Plan {
        keys: KEYS,
        ..Plan::default()
    })
    .await
}

async fn answer(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

fn operations(run: RunId) -> [(&'static str, String); 5] {
    [
        ("GET", format!("/mcp/v1/request/{run}")),
        ("GET", format!("/mcp/v1/request/{run}/result")),
        ("GET", format!("/mcp/v1/request/{run}/events")),
        ("POST", format!("/mcp/v1/cancel/{run}")),
        ("GET", "/mcp/v1/requests".to_owned()),
    ]
}

#[tokio::test]
async fn without_a_known_key_nothing_is_open() {
    let house = guarded().await;
    let run = house.stage.accept("acme").await;
    let submit = ("POST", SUBMIT.to_owned());
    for (method, path) in operations(run)
        .into_iter()
        .chain([submit, ("GET", "/mcp/v1/admin/metrics".to_owned())])
    {
        let request = || house.request(method, &path).json(&json!({ "prompt": "Hello" }));
        for request in [
            request(),
            request().bearer_auth("wrong-0123456789abcdef"),
            request().basic_auth("acme", Some(ACME)),
        ] {
            let refused = answer(request).await;
            assert_eq!(refused.problem(), (401, "unauthorized", None), "{method} {path}");
            assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
    }
    assert_eq!(house.queued().await, 1);
    house.close().await;
}

#[tokio::test]
async fn another_tenants_run_looks_like_no_run_at_all() {
    let house = guarded().await;
    let run = house.stage.accept("acme").await;
    for (method, path) in &operations(run)[..4] {
        let foreign = answer(house.request(method, path).bearer_auth(BETA)).await;
        let unknown = path.replace(&run.to_string(), &RunId::new().to_string());
        let unknown = answer(house.request(method, &unknown).bearer_auth(BETA)).await;
        assert_eq!(foreign.problem(), (404, "run_not_found", None), "{method} {path}");
        assert_eq!(foreign.problem(), unknown.problem());
        assert_eq!(foreign.body["detail"], unknown.body["detail"]);
    }
    let own = answer(
        house
            .request("GET", &format!("/mcp/v1/request/{run}"))
            .header("x-api-key", ACME),
    )
    .await;
    assert_eq!(
        (own.status, &own.body["status"]),
        (200, &json!("queued")),
        "the foreign cancel did nothing"
    );
    house.close().await;
}

#[tokio::test]
async fn an_admin_touches_every_run_and_is_named_in_its_log() {
    let house = guarded().await;
    let run = house.stage.accept("acme").await;
    let seen = answer(
        house
            .request("GET", &format!("/mcp/v1/request/{run}"))
            .bearer_auth(ADMIN),
    )
    .await;
    assert_eq!((seen.status, &seen.body["tenant"]), (200, &json!("acme")));
    let cancelled = answer(
        house
            .request("POST", &format!("/mcp/v1/cancel/{run}"))
            .bearer_auth(ADMIN),
    )
    .await;
    assert_eq!(
        (cancelled.status, &cancelled.body["status"]),
        (200, &json!("cancelled"))
    );
    let events = house
        .request("GET", &format!("/mcp/v1/request/{run}/events"))
        .header("accept", "application/json");
    let events = answer(events.bearer_auth(ACME)).await;
    assert_eq!(events.body["events"][1]["data"]["by"], "admin");
    house.close().await;
}

#[tokio::test]
async fn lists_hold_ones_own_runs_unless_an_admin_asks_for_all() {
    let house = guarded().await;
    let (first, second) = (house.stage.accept("acme").await, house.stage.accept("beta").await);
    let list = async |key: &str, query: &str| {
        answer(
            house
                .request("GET", &format!("/mcp/v1/requests{query}"))
                .bearer_auth(key),
        )
        .await
    };
    let ids = |answer: &Answer| -> Vec<String> {
        let requests = answer.body["requests"].as_array().unwrap();
        requests
            .iter()
            .map(|run| run["request_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&list(ACME, "").await), [first.to_string()]);
    assert_eq!(ids(&list(ADMIN, "").await), [""; 0]);
    assert_eq!(
        ids(&list(ADMIN, "?all_tenants=true").await),
        [second.to_string(), first.to_string()]
    );
    assert_eq!(
        list(ACME, "?all_tenants=true").await.problem(),
        (403, "admin_required", Some("all_tenants"))
    );
    assert_eq!(list(ACME, "?all_tenants=false").await.status, 200);
    let admin_only = answer(house.request("GET", "/mcp/v1/admin/metrics").bearer_auth(ACME)).await;
    assert_eq!(admin_only.problem(), (403, "admin_required", None));
    house.close().await;
}

#[tokio::test]
async fn without_keys_only_this_machine_is_let_in() {
    let house = House::open().await;
    let submit = || house.request("POST", SUBMIT).json(&json!({ "prompt": "Hello" }));
    let rebound = answer(submit().header("host", "evil.example")).await;
    assert_eq!(rebound.problem(), (403, "origin_not_allowed", Some("host")));
    let cross_site = answer(submit().header("origin", "https://evil.example")).await;
    assert_eq!(cross_site.problem(), (403, "origin_not_allowed", Some("origin")));
    answer(submit().header("origin", "http://localhost:3000"))
        .await
        .accepted();
    assert_eq!(house.queued().await, 1);
    house.close().await;
}
