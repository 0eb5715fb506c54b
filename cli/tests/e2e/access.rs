//! Who may come in, and what a process refuses to start with.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::stage::{Client, Frame, Mode, Stage, all_modes};

const ACME: &str = "acme-0123456789abcdef";
const BETA: &str = "beta-0123456789abcdef";
const KEYS: (&str, &str) = (
    "MCP_API_KEYS",
    "acme:acme-0123456789abcdef,beta:beta-0123456789abcdef,ops:ops-0123456789abcdef:admin",
);

/// Everything about one run.
fn doors(run: &str) -> [(Method, String); 4] {
    [
        (Method::GET, format!("/mcp/v1/request/{run}")),
        (Method::GET, format!("/mcp/v1/request/{run}/result")),
        (Method::GET, format!("/mcp/v1/request/{run}/events?limit=10")),
        (Method::POST, format!("/mcp/v1/cancel/{run}")),
    ]
}

async fn runs(client: &Client, query: &str) -> Vec<String> {
    let list = client.get(&format!("/mcp/v1/requests{query}")).await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.body);
    let runs = list.body["requests"].as_array().expect("runs").clone();
    runs.iter()
        .map(|run| run["request_id"].as_str().expect("an id").to_owned())
        .collect()
}

all_modes! {
    async fn a_key_opens_its_tenants_runs_and_no_others(mode: Mode) {
        let stage = Stage::with(mode, &[KEYS]).await;
        let admin = stage.client();
        let (acme, beta) = (admin.with_key(ACME), admin.with_key(BETA));
        let run = acme.submit_to("sim:fault=stall_headers").await;
        let done = acme.submit_to("sim-fast:tokens=1").await;
        acme.result(&done).await;
        acme.watch(&run, None).await.until("route.selected").await;

        // Nobody without a key, whatever is asked for.
        let nobody = Client::new(admin.origin().to_owned());
        for stranger in [nobody.clone(), nobody.with_key("acme-0123456789abcdeF"), nobody.with_key("acme")] {
            let mut asked = doors(&run).to_vec();
            asked.extend([(Method::GET, "/mcp/v1/requests".to_owned()), (Method::GET, "/mcp/v1/admin/metrics".to_owned())]);
            for (method, path) in asked {
                let reply = stranger.send(stranger.request(method, &path)).await;
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
                assert_eq!(reply.body["code"], "unauthorized", "{path}");
                assert!(reply.headers.contains_key("www-authenticate"), "{path}");
            }
            assert_eq!(stranger.post(&json!({"prompt": "Hello"})).await.status, StatusCode::UNAUTHORIZED);
            match stranger.try_watch(&run, None).await {
                Err(tungstenite::Error::Http(refusal)) => assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED),
                _ => panic!("a stranger watches"),
            }
        }
        for path in ["/health", "/healthz"] {
            assert_eq!(nobody.get(path).await.status, StatusCode::OK, "{path}");
        }

        // For another tenant it is as if the run were not there.
        for run in [&run, &done] {
            for (method, path) in doors(run) {
                let reply = beta.send(beta.request(method, &path)).await;
                assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}: {}", reply.body);
                assert_eq!(reply.body["code"], "run_not_found", "{path}");
            }
            assert_eq!(beta.watch(run, None).await.next().await, Frame::Closed(4404));
        }
        assert_eq!(runs(&beta, "").await, Vec::<String>::new());
        assert_eq!(beta.get("/mcp/v1/requests?all_tenants=true").await.status, StatusCode::FORBIDDEN);
        assert_eq!(beta.get("/mcp/v1/admin/metrics").await.body["code"], "admin_required");
        assert_eq!(acme.run(&run).await["status"], "running", "nobody cancelled it");

        // An admin sees all, and a cancel is told to be theirs.
        let own = beta.submit_to("sim-fast:tokens=1").await;
        beta.result(&own).await;
        assert_eq!(runs(&acme, "").await, [done.clone(), run.clone()]);
        assert_eq!(runs(&admin, "").await, Vec::<String>::new());
        assert_eq!(runs(&admin, "?all_tenants=true").await, [own, done.clone(), run.clone()]);
        assert_eq!(admin.result(&done).await["status"], "succeeded");
        assert_eq!(admin.cancel(&run).await.status, StatusCode::ACCEPTED);
        acme.result(&run).await;
        let last = acme.history(&run).await.pop().expect("an event");
        assert_eq!((&last["type"], &last["data"]["by"]), (&json!("run.cancelled"), &json!("admin")));
        stage.close().await;
    }

    async fn without_keys_only_this_machine_is_let_in(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        for (header, value) in [("host", "control.example.com"), ("origin", "https://evil.example.com")] {
            let request = client.request(Method::POST, "/mcp/v1/request").header(header, value);
            let reply = client.send(request.json(&json!({"prompt": "Hello"}))).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{header}");
            assert_eq!((&reply.body["code"], &reply.body["field"]), (&json!("origin_not_allowed"), &json!(header)));
        }
        assert_eq!(runs(&client, "").await, Vec::<String>::new());
        stage.close().await;
    }

    async fn what_is_set_wrong_is_said_at_the_start(mode: Mode) {
        let stage = Stage::empty(mode, &[]).await;
        let long = "0123456789abcdef0123456789abcdef";
        let settings: &[(&str, &str, &[&str])] = &[
            ("REDIS_URL", "127.0.0.1:6379", &["REDIS_URL"]),
            ("REDIS_PORT", "many", &["REDIS_PORT"]),
            ("MCP_REDIS_PREFIX", "{mcp}", &["MCP_REDIS_PREFIX"]),
            ("MCP_SLOTZ", "8", &["MCP_SLOTZ", ".env.example"]),
            ("MCP_SLOTS", "many", &["MCP_SLOTS"]),
            ("MCP_SLOTS", "0", &["MCP_SLOTS", "between"]),
            ("MCP_API_KEYS", "acme:short", &["MCP_API_KEYS", "entry 1"]),
            ("MCP_HASH_KEY", "short", &["MCP_HASH_KEY", "32"]),
            ("MCP_SIMULATOR_URL", "localhost:8080", &["MCP_SIMULATOR_URL"]),
            ("OPENAI_API_KEY", long, &["MCP_SIMULATOR_URL", "real provider"]),
            ("MCP_PRICE_INPUT_USD_PER_MILLION", "1", &["MCP_PRICE_OUTPUT_USD_PER_MILLION"]),
            ("DATABASE_URL", "mysql://127.0.0.1/mcp", &["DATABASE_URL"]),
            ("POSTGRES_DSN", "postgres://127.0.0.1:1/other", match mode {
                Mode::Embedded => &["DATABASE_URL"],
                Mode::Cluster | Mode::Redis => &["POSTGRES_DSN", "DATABASE_URL"],
            }),
        ];
        for (name, value, said) in settings {
            let ended = stage.api_command(&[(name, value)]).finish().await;
            assert_eq!(ended.code(), Some(2), "{name}={value}: {ended}");
            assert_eq!(ended.stdout, "", "{name}={value}: {ended}");
            for part in *said {
                assert!(ended.stderr.contains(part), "{name}={value}: {ended}");
            }
            assert!(!ended.stderr.contains(long), "a secret is never shown: {ended}");
        }
        stage.abandon().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_can_reach_needs_keys() {
    let mut stage = Stage::empty(Mode::Cluster, &[]).await;
    for host in ["0.0.0.0", "::"] {
        let ended = stage
            .command(&["api", "--port", "0", "--host", host])
            .finish()
            .await;
        assert_eq!(ended.code(), Some(2), "{ended}");
        assert!(ended.stderr.contains("MCP_API_KEYS"), "{ended}");
    }
    let open = stage
        .command(&["api", "--port", "0", "--host", "0.0.0.0"])
        .with(&[KEYS])
        .start();
    stage.add_api(open).await;
    stage.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_or_not_ready_is_an_error_and_no_other_mode() {
    let stage = Stage::empty(Mode::Cluster, &[]).await;
    for role in ["api", "worker", "migrate"] {
        let away = stage
            .command(&[role])
            .with(&[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")]);
        let ended = away.finish().await;
        assert_eq!(ended.code(), Some(1), "{role}: {ended}");
        assert!(
            ended.stderr.contains("DATABASE_URL") && ended.stderr.contains("Postgres"),
            "{role}: {ended}"
        );
        let unset = stage
            .command(&[role])
            .with(&[("DATABASE_URL", "")])
            .finish()
            .await;
        assert_eq!(unset.code(), Some(2), "{role}: {unset}");
        assert!(
            unset.stderr.contains("DATABASE_URL is not set"),
            "{role}: {unset}"
        );
    }
    let bare = crate::stage::Database::create().await;
    for role in ["api", "worker"] {
        let ended = stage
            .command(&[role])
            .with(&[("DATABASE_URL", bare.url())])
            .finish()
            .await;
        assert_eq!(ended.code(), Some(2), "{role}: {ended}");
        assert!(ended.stderr.contains("mcpctl migrate"), "{role}: {ended}");
    }
    bare.drop().await;
    let embedded = stage.command(&["up", "--port", "0"]).finish().await;
    assert_eq!(embedded.code(), Some(2), "{embedded}");
    assert!(
        embedded.stderr.contains("`up` keeps its own database"),
        "{embedded}"
    );
    stage.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_process() {
    let stage = Stage::open(Mode::Embedded).await;
    let client = stage.client();
    let second = stage.api_command(&[]).finish().await;
    assert_eq!(second.code(), Some(1), "{second}");
    assert!(
        second.stderr.contains("another process is using the data folder"),
        "{second}"
    );
    assert!(second.stderr.contains("--data"), "{second}");
    let run = client.submit_to("sim-fast:tokens=1").await;
    assert_eq!(
        client.result(&run).await["status"],
        "succeeded",
        "the first one did not notice"
    );
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_said() {
    let stage = Stage::open(Mode::Embedded).await;
    let port = stage
        .client()
        .origin()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let other = tempfile::tempdir().expect("a folder");
    let data = other.path().to_str().expect("a readable path");
    let ended = stage
        .command(&["up", "--port", &port, "--data", data])
        .finish()
        .await;
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(
        ended.stderr.contains(&format!("127.0.0.1:{port}")) && ended.stderr.contains("--port 0"),
        "{ended}"
    );
    stage.close().await;
}
