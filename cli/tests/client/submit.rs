//! What `submit` sends.

use serde_json::json;

use crate::program::{feed, finish, mcpctl, run};
use crate::server::{RUN, Server, hello};

#[tokio::test]
async fn only_what_was_given_is_sent() {
    let server = Server::start().await;
    let ended = run(&server.url(), &["submit", "Hello"]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, format!("{RUN}\n").as_str()),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("simulated: true") && ended.stderr.contains("cost unknown"),
        "{ended:?}"
    );
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /mcp/v1/request");
    assert_eq!(seen.body, json!({"prompt": "Hello"}));
    assert!(
        seen.headers["idempotency-key"]
            .to_str()
            .unwrap()
            .starts_with("mcpctl-")
    );
    assert!(!seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn every_field_has_its_flag() {
    let server = Server::start().await;
    let args = [
        "submit",
        "Hello",
        "--detach",
        "--model",
        "m",
        "--task-type",
        "code",
        "--priority",
        "70",
        "--max-tokens",
        "9",
        "--temperature",
        "0.5",
        "--provider",
        "p",
        "--deadline",
        "1.5s",
        "--user",
        "u",
        "--metadata",
        "a=1",
        "--metadata",
        "b=text",
        "--on-interruption",
        "fail",
        "--param",
        "top_p=0.9",
        "--param",
        "stop=[\"x\"]",
        "--idempotency-key",
        "k1",
    ];
    assert_eq!(run(&server.url(), &args).await.code, 0);
    let seen = &server.seen()[0];
    assert_eq!(seen.headers["idempotency-key"], "k1");
    assert_eq!(
        seen.body,
        json!({
            "prompt": "Hello", "model": "m", "task_type": "code", "priority": 70, "max_tokens": 9, "temperature": 0.5,
            "provider_hint": "p", "deadline_ms": 1500, "user_id": "u", "metadata": {"a": 1, "b": "text"},
            "on_interruption": "fail", "params": {"top_p": 0.9, "stop": ["x"]},
        })
    );
}

#[tokio::test]
async fn a_prompt_from_stdin_is_taken_byte_for_byte() {
    let server = Server::start().await;
    assert_eq!(
        feed(&server.url(), &["submit", "-"], "Zwei\n Zeilen ü\n".as_bytes())
            .await
            .code,
        0
    );
    assert_eq!(server.seen()[0].body, json!({"prompt": "Zwei\n Zeilen ü\n"}));
    let ended = feed(&server.url(), &["submit", "-"], b"\xff\xfe").await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.stderr.contains("stdin") && ended.stderr.contains("UTF-8"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_prompt_may_begin_with_a_dash() {
    let server = Server::start().await;
    assert_eq!(
        run(&server.url(), &["submit", "--detach", "--", "-1 + 1"])
            .await
            .code,
        0
    );
    assert_eq!(server.seen()[0].body, json!({"prompt": "-1 + 1"}));
    assert_eq!(run(&server.url(), &["submit", "-1 + 1"]).await.code, 2);
}

#[tokio::test]
async fn messages_come_from_a_file() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("messages.json");
    let file = path.to_str().unwrap();
    std::fs::write(&path, r#"[{"role": "user", "content": "Hi", "x": 1}]"#).unwrap();
    assert_eq!(
        run(&server.url(), &["submit", "--message-file", file]).await.code,
        0
    );
    assert_eq!(
        server.seen()[0].body,
        json!({"messages": [{"role": "user", "content": "Hi", "x": 1}]})
    );
    for bad in ["{}", "[", ""] {
        std::fs::write(&path, bad).unwrap();
        let ended = run(&server.url(), &["submit", "--message-file", file]).await;
        assert_eq!(ended.code, 2, "{bad}: {ended:?}");
        assert!(ended.stderr.contains(file), "{ended:?}");
    }
    assert_eq!(
        run(&server.url(), &["submit", "--message-file", "/nowhere"])
            .await
            .code,
        2
    );
    assert_eq!(
        run(&server.url(), &["submit", "Hello", "--message-file", file])
            .await
            .code,
        2
    );
}

#[tokio::test]
async fn the_key_comes_from_a_file_or_the_environment_and_is_never_shown() {
    let server = Server::start()
        .await
        .refuse(401, "unauthorized")
        .refuse(401, "unauthorized");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "sk-from-file\n").unwrap();
    let mut command = mcpctl(
        &server.url(),
        &["submit", "Hello", "--api-key-file", path.to_str().unwrap()],
    );
    command.env("MCP_API_KEY", "sk-from-env");
    let by_file = finish(command).await;
    let mut command = mcpctl(&server.url(), &["submit", "Hello"]);
    command.env("MCP_API_KEY", "sk-from-env");
    let by_environment = finish(command).await;
    let seen = server.seen();
    assert_eq!(seen[0].headers["authorization"], "Bearer sk-from-file");
    assert_eq!(seen[1].headers["authorization"], "Bearer sk-from-env");
    for ended in [by_file, by_environment] {
        assert_eq!(ended.code, 4);
        assert!(!format!("{ended:?}").contains("sk-from"), "{ended:?}");
    }
    std::fs::write(&path, " \n").unwrap();
    assert_eq!(
        run(&server.url(), &["list", "--api-key-file", path.to_str().unwrap()])
            .await
            .code,
        2
    );
}

#[tokio::test]
async fn waiting_prints_the_result() {
    let server = Server::start().await.log(&hello());
    let ended = run(&server.url(), &["submit", "Hello", "--wait"]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Hello world\n"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("3 tokens in, 2 out · simulated: true"),
        "{ended:?}"
    );
    let json = run(&server.url(), &["submit", "Hello", "--wait=30", "-o", "json"]).await;
    assert_eq!(
        (json.code, json.json()[0]["text"].as_str()),
        (0, Some("Hello world")),
        "{json:?}"
    );
    assert_eq!(json.stderr, "");
}
