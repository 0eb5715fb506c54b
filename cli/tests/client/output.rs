//! What commands print: text for people, the server's own JSON for programs.

use serde_json::{Value, json};

use crate::program::run;
use crate::server::{RUN, Server, hello, run_body};

#[tokio::test]
async fn json_is_the_servers_as_it_is() {
    // Spaces, order of keys and unknown fields: nothing is parsed and written again.
    let raw = format!(
        r#"{{"z": 1,  "request_id": "{RUN}", {}"#,
        &run_body("running").to_string()[1..]
    );
    let raw = raw.replace(&format!(r#""request_id":"{RUN}","#), "");
    let server = Server::start().await.answer(200, "application/json", &raw);
    let ended = run(&server.url(), &["status", RUN, "-o", "json"]).await;
    assert_eq!(
        (ended.code, ended.stdout, ended.stderr.as_str()),
        (0, format!("{raw}\n"), "")
    );
}

#[tokio::test]
async fn each_command_has_its_json() {
    let server = Server::start().await.log(&hello());
    for (args, field, value) in [
        (&["status", RUN][..], "status", json!("running")),
        (&["result", RUN], "text", json!("Hello world")),
        (&["cancel", RUN], "request_id", json!(RUN)),
        (&["list"], "next_cursor", json!("page-2")),
        (&["submit", "Hello"], "extension", json!("kept")),
    ] {
        let ended = run(&server.url(), &[args, &["--output", "json"]].concat()).await;
        let lines = ended.json();
        assert_eq!(
            (ended.code, lines.len(), ended.stderr.as_str()),
            (0, 1, ""),
            "{args:?}"
        );
        assert_eq!(lines[0][field], value, "{args:?}");
    }
}

#[tokio::test]
async fn following_as_json_is_the_accepted_run_and_then_a_line_per_event() {
    let server = Server::start().await.log(&hello());
    let ended = run(&server.url(), &["submit", "Hello", "--follow", "-o", "json"]).await;
    let lines = ended.json();
    assert_eq!(
        (ended.code, lines.len(), ended.stderr.as_str()),
        (0, 10, ""),
        "{ended:?}"
    );
    assert_eq!(lines[0]["request_id"], RUN);
    let text: String = lines[1..]
        .iter()
        .filter_map(|line| line["data"]["text"].as_str())
        .collect();
    assert_eq!(text, "Hello world");
    assert_eq!(lines[9]["type"], "run.succeeded");
}

#[tokio::test]
async fn events_are_a_line_each_and_labelled() {
    let server = Server::start().await.log(&hello());
    let ended = run(&server.url(), &["tail", RUN, "--events"]).await;
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!((ended.code, lines.len()), (0, 9), "{ended:?}");
    for (line, word) in [(0, "run.queued"), (3, r#""text":"Hel""#), (8, "run.succeeded")] {
        assert!(
            lines[line].contains(word) && lines[line].ends_with("simulated: true"),
            "{}",
            lines[line]
        );
    }
}

#[tokio::test]
async fn a_status_says_what_is_known() {
    let server = Server::start().await;
    let ended = run(&server.url(), &["status", RUN]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    for said in [
        RUN,
        "simulated: true",
        "running",
        "standard (priority 50)",
        "unknown",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {ended:?}");
    }
}

#[tokio::test]
async fn a_list_is_a_table_that_names_the_next_page() {
    let server = Server::start().await;
    let args = [
        "list",
        "--status",
        "running",
        "--class",
        "batch",
        "--task-type",
        "chat",
        "--user",
        "a b&c",
        "--limit",
        "2",
    ];
    let ended = run(&server.url(), &args).await;
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!((ended.code, lines.len()), (0, 3), "{ended:?}");
    assert!(
        lines[0].starts_with("ID ") && lines[1].contains("simulated: true"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("--cursor page-2"), "{ended:?}");
    let query = "status=running&class=batch&task_type=chat&user_id=a+b%26c&limit=2";
    assert_eq!(server.lines(), [format!("GET /mcp/v1/requests?{query}")]);

    let none = json!({"requests": [], "next_cursor": null}).to_string();
    let server = Server::start().await.answer(200, "application/json", &none);
    let ended = run(&server.url(), &["list"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert!(ended.stderr.contains("mcpctl submit"), "{ended:?}");
}

#[tokio::test]
async fn a_cancel_says_whether_it_is_done() {
    let server = Server::start().await;
    let ended = run(&server.url(), &["cancel", RUN]).await;
    assert_eq!(
        (ended.code, ended.stdout),
        (0, format!("{RUN}  cancelling  simulated: true\n"))
    );
    let server = Server::start()
        .await
        .answer(200, "application/json", &run_body("cancelled").to_string());
    let ended = run(&server.url(), &["cancel", RUN]).await;
    assert_eq!(
        (ended.code, ended.stdout),
        (0, format!("{RUN}  cancelled  simulated: true\n"))
    );
    assert_eq!(server.lines(), [format!("POST /mcp/v1/cancel/{RUN}")]);
}

#[tokio::test]
async fn a_result_is_the_answer_and_a_line_about_it() {
    let server = Server::start().await;
    let ended = run(&server.url(), &["result", RUN]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Hello world\n"));
    assert!(
        ended.stderr.contains("succeeded") && ended.stderr.contains("simulated: true"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn in_a_pipe_every_byte_of_an_answer_is_kept() {
    let server = Server::start().await.result(json!({"text": "\u{1b}[31mred\r\n"}));
    assert_eq!(
        run(&server.url(), &["result", RUN]).await.stdout,
        "\u{1b}[31mred\r\n"
    );
}

#[tokio::test]
async fn the_document_of_the_api_needs_no_server() {
    let ended = run("http://127.0.0.1:9", &["openapi"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"].get("/mcp/v1/request").is_some());
}
