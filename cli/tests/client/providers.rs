//! `providers list|test|explain`: by the keys of the environment, with what the workers see where a server answers.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::program::{Ended, finish, mcpctl};
use crate::server::Server;

const SECRET: &str = "sk-0123456789-secret";
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

/// The binary with no provider but these variables.
fn with(server: &str, args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = mcpctl(server, args);
    let inherited: Vec<String> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| name.contains("_KEY") || name.contains("_TOKEN") || name.starts_with("MCP_"))
        .filter(|name| name != "MCP_SERVER")
        .collect();
    for name in inherited {
        command.env_remove(name);
    }
    command
        .env_remove("OPENAI_BASE_URL")
        .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL");
    command.env("MCP_SERVER", server).envs(variables.iter().copied());
    command
}

fn keeps_the_secret(ended: &Ended) {
    assert!(
        !ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET),
        "{ended:?}"
    );
}

fn named<'a>(all: &'a Value, name: &str) -> &'a Value {
    let mut providers = all["providers"].as_array().unwrap().iter();
    providers.find(|provider| provider["name"] == name).unwrap()
}

/// A provider that answers every call so.
async fn provider(status: u16, body: &'static str) -> String {
    let app = Router::new().route(
        "/v1/chat/completions",
        post(move || async move {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("content-type", "application/json")], body)
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn a_list_tells_whose_key_is_here_and_never_the_key() {
    let key = [("ANTHROPIC_API_KEY", SECRET)];
    let ended = finish(with(NOBODY, &["providers", "list", "-o", "json"], &key)).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    keeps_the_secret(&ended);
    assert!(ended.stderr.contains("without the workers' figures"), "{ended:?}");
    let all = &ended.json()[0];
    let anthropic = named(all, "anthropic");
    assert_eq!(
        (&anthropic["live"], &anthropic["keys"]),
        (&true.into(), &1.into())
    );
    assert_eq!(anthropic["key_env"], "ANTHROPIC_API_KEY");
    let groq = named(all, "groq");
    assert_eq!(groq["live"], false);
    assert!(
        groq["why_not"].as_str().unwrap().contains("GROQ_API_KEY"),
        "{groq}"
    );
    assert_eq!(groq["workers"], Value::Null);

    let text = finish(with(NOBODY, &["providers", "list", "--live"], &key)).await;
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{text:?}");
    assert!(lines[1].starts_with("anthropic "), "{text:?}");
    keeps_the_secret(&text);
}

#[tokio::test]
async fn a_list_tells_what_is_missing_of_credentials() {
    let id = ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    let region = ("AWS_REGION", "eu-central-1");
    let list = ["providers", "list", "-o", "json"];
    let ended = finish(with(NOBODY, &list, &[id, region])).await;
    let all = &ended.json()[0];
    assert_eq!(
        named(all, "bedrock")["why_not"],
        "no key: set AWS_BEARER_TOKEN_BEDROCK, or AWS_SECRET_ACCESS_KEY"
    );
    assert_eq!(
        named(all, "vertex")["why_not"],
        "no key: set GOOGLE_APPLICATION_CREDENTIALS"
    );
    let ended = finish(with(
        NOBODY,
        &list,
        &[id, region, ("AWS_SECRET_ACCESS_KEY", SECRET)],
    ))
    .await;
    keeps_the_secret(&ended);
    assert!(!ended.stdout.contains(id.1), "{ended:?}");
    let all = &ended.json()[0];
    let bedrock = named(all, "bedrock");
    assert_eq!((&bedrock["live"], &bedrock["keys"]), (&true.into(), &1.into()));
    assert_eq!(bedrock["key_env"], "AWS_ACCESS_KEY_ID");
}

#[tokio::test]
async fn a_list_shows_what_the_workers_see() {
    let server = Server::start().await;
    let ended = finish(with(&server.url(), &["providers", "list", "-o", "json"], &[])).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let all = &ended.json()[0];
    let openai = named(all, "openai");
    assert_eq!((&openai["live"], &openai["workers"]), (&false.into(), &2.into()));
    assert_eq!(openai["breakers_not_closed"], 1);
    assert_eq!(named(all, "groq")["workers"], 0);
    assert_eq!(all["fleet"]["models"][0]["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn a_test_tells_how_the_call_went() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let ended = tokio_util::sync::CancellationToken::new();
    tokio::spawn(simulator::serve(
        listener,
        simulator::SimulatorConfig::default(),
        ended,
    ));
    let env = [("MCP_SIMULATOR_URL", url.as_str())];
    let json = finish(with(
        NOBODY,
        &["providers", "test", "simulator", "-o", "json"],
        &env,
    ))
    .await;
    assert_eq!(json.code, 0, "{json:?}");
    let said = &json.json()[0];
    assert_eq!((&said["ok"], &said["simulated"]), (&true.into(), &true.into()));
    assert!(
        said["first_token_ms"].is_u64() && said["output_tokens"].as_u64() > Some(0),
        "{said}"
    );
    assert_eq!(said["cost_usd"], Value::Null);
    let text = finish(with(NOBODY, &["providers", "test", "simulator"], &env)).await;
    for part in [
        "first token",
        "tokens",
        "cost          unknown",
        "simulated: true",
    ] {
        assert!(text.stdout.contains(part), "{part}: {text:?}");
    }
}

#[tokio::test]
async fn a_test_that_fails_says_what_to_do() {
    let refused = provider(401, r#"{"error":{"message":"Incorrect API key provided"}}"#).await;
    let key = [("OPENAI_BASE_URL", refused.as_str()), ("OPENAI_API_KEY", SECRET)];
    let args = ["providers", "test", "openai", "--model", "gpt", "-o", "json"];
    let ended = finish(with(NOBODY, &args, &key)).await;
    keeps_the_secret(&ended);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{ended:?}");
    let error: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["next"], "check OPENAI_API_KEY");

    let unknown = provider(404, r#"{"error":{"message":"no such model"}}"#).await;
    let ended = finish(with(NOBODY, &args, &[("OPENAI_BASE_URL", unknown.as_str())])).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("--model MODEL"), "{ended:?}");

    // Whose key is not here, and who is not there at all.
    for (name, told) in [("groq", "GROQ_API_KEY"), ("nobody", "no provider `nobody`")] {
        let ended = finish(with(NOBODY, &["providers", "test", name], &[])).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(
            ended.stderr.contains(told) && ended.stderr.contains("mcpctl providers list"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn an_explanation_goes_by_policy_keys_and_the_workers_breakers() {
    let keys = [("OPENAI_API_KEY", SECRET)];
    let args = [
        "providers",
        "explain",
        "gpt-4o-mini",
        "--policy",
        "cheapest",
        "-o",
        "json",
    ];
    let alone = finish(with(NOBODY, &args, &keys)).await;
    assert_eq!(alone.code, 0, "{alone:?}");
    keeps_the_secret(&alone);
    let report = &alone.json()[0]["report"];
    assert_eq!(
        (&report["asked"], &report["policy"]),
        (&"gpt-4o-mini".into(), &"cheapest".into())
    );
    let candidates = report["candidates"].as_array().unwrap();
    let of = |candidates: &[Value], provider: &str| {
        let mut all = candidates.iter();
        all.find(|one| one["provider"] == provider).cloned().unwrap()
    };
    assert!(of(candidates, "openai")["score"].is_number(), "{report}");

    let server = Server::start().await;
    let told = finish(with(&server.url(), &args, &keys)).await;
    // Nobody else has a key here.
    assert_eq!(told.code, 1, "{told:?}");
    let report = told.json()[0]["report"].clone();
    let openai = of(report["candidates"].as_array().unwrap(), "openai");
    assert_eq!(
        (&openai["breaker"], &openai["passed_over"]),
        (&"open".into(), &"breaker_open".into())
    );

    let text = finish(with(&server.url(), &args[..3], &keys)).await;
    assert!(
        text.stdout.contains("321 ms") && text.stdout.contains("50.0 %"),
        "{text:?}"
    );
    let nobody = finish(with(NOBODY, &args[..3], &[])).await;
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.stderr.contains("mcpctl providers list"), "{nobody:?}");
}
