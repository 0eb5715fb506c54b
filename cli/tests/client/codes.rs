//! Every exit code, and the error that goes with it: what failed, why, and what to type next.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::program::{Ended, run};
use crate::server::{Connection, RUN, Server, beginning, delta, hello};

fn says(ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for text in texts {
        assert!(ended.stderr.contains(text), "{text}: {ended:?}");
    }
}

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn one_for_a_refusal_with_everything_the_problem_says() {
    let server = Server::start().await.refuse(422, "invalid_field");
    let ended = run(&server.url(), &["submit", "Hello"]).await;
    says(
        &ended,
        1,
        &[
            "error:",
            "because of invalid_field",
            "invalid_field",
            "max_tokens",
            "req_1",
            "422",
            "mcpctl submit --help",
        ],
    );
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn one_with_advice_that_fits() {
    let not_found = Server::start().await.refuse(404, "run_not_found");
    says(
        &run(&not_found.url(), &["status", RUN]).await,
        1,
        &["because of run_not_found", "mcpctl list"],
    );
    let no_such_path = Server::start().await.refuse(404, "not_found");
    says(
        &run(&no_such_path.url(), &["status", RUN]).await,
        1,
        &["not_found", "/health", "--server"],
    );
    let finished = Server::start().await.refuse(409, "already_finished");
    says(
        &run(&finished.url(), &["cancel", RUN]).await,
        1,
        &["already_finished", &format!("mcpctl result {RUN}")],
    );
    let full = Server::start().await.refuse(429, "queue_full");
    says(
        &run(&full.url(), &["submit", "Hello"]).await,
        1,
        &["queue_full", "again in 7 s"],
    );
    let running = Server::start().await.unfinished();
    says(
        &run(&running.url(), &["result", RUN]).await,
        1,
        &["running", &format!("mcpctl tail {RUN}")],
    );
}

#[tokio::test]
async fn one_for_what_is_not_a_control_plane() {
    let page = Server::start()
        .await
        .answer(200, "text/html", "<html>hello</html>");
    says(
        &run(&page.url(), &["status", RUN]).await,
        1,
        &["does not answer like a control plane", "/health"],
    );
    let proxy = Server::start()
        .await
        .answer(502, "text/html", "<html><h1>Bad gateway</h1></html>");
    says(
        &run(&proxy.url(), &["status", RUN]).await,
        1,
        &["Bad gateway", "502"],
    );
    let moved = Server::start().await.answer(308, "text/plain", "");
    says(&run(&moved.url(), &["list"]).await, 1, &["308", "--server"]);
    let no_upgrade = Server::start().await.answer(200, "text/plain", "");
    says(
        &run(&no_upgrade.url(), &["tail", RUN]).await,
        1,
        &["no WebSocket"],
    );
}

#[tokio::test]
async fn one_for_a_stream_that_forbids_to_come_back() {
    for (code, next) in [
        (4404, "mcpctl list"),
        (4409, "from the start"),
        (4400, "from the start"),
    ] {
        let server = Server::start()
            .await
            .log(&hello())
            .connections(&[Connection::Closed(0, code)]);
        let ended = run(&server.url(), &["tail", RUN, "--after", "1-4"]).await;
        says(&ended, 1, &[&code.to_string(), next]);
        assert_eq!(server.lines().len(), 1, "not tried again");
    }
}

#[tokio::test]
async fn two_for_what_cannot_be_understood() {
    let server = Server::start().await;
    for args in [
        &["submit"][..],
        &["submit", "x", "--follow", "--detach"],
        &["submit", "x", "--priority", "101"],
        &["submit", "x", "--temperature", "NaN"],
        &["submit", "x", "--param", "novalue"],
        &["submit", "x", "--param", "a=1", "--param", "a=2"],
        &["submit", "x", "--wait=soon"],
        &["submit", "x", "--server", "localhost:8000"],
        &["submit", "x", "--api-key", "sk-1"],
        &["status"],
        &["status", "run_1"],
        &["tail", RUN, "--after", "here"],
        &["list", "--status", "done"],
        &["list", "--limit", "0"],
        &["up", "--server", "http://x"],
        &["frobnicate"],
    ] {
        let ended = run(&server.url(), args).await;
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (2, ""),
            "{args:?}: {ended:?}"
        );
        assert!(!ended.stderr.is_empty());
    }
    assert!(server.lines().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn three_for_a_run_without_an_answer() {
    let failed =
        json!({"code": "provider_timeout", "message": "too slow", "retryable": true, "simulated": true});
    let mut log = beginning();
    log.extend([
        ("1-3", "output.delta", delta("Hel")),
        ("1-4", "run.failed", failed.clone()),
    ]);
    let server = Server::start()
        .await
        .log(&log)
        .result(json!({"status": "failed", "text": "Hel", "error": failed}));
    let texts = ["too slow", "provider_timeout", RUN, "submit it again"];
    for args in [
        &["submit", "Hello", "--follow"][..],
        &["submit", "Hello", "--wait"],
        &["tail", RUN],
        &["tail", RUN, "--after", "1-4"],
        &["result", RUN],
    ] {
        says(&run(&server.url(), args).await, 3, &texts);
    }
    let json = run(&server.url(), &["tail", RUN, "-o", "json"]).await;
    assert_eq!((json.code, json.json().len()), (3, 5), "{json:?}");
}

#[tokio::test]
async fn three_for_a_run_that_was_cancelled() {
    let mut log = beginning();
    log.push(("1-3", "run.cancelled", json!({"by": "client"})));
    let server = Server::start()
        .await
        .log(&log)
        .result(json!({"status": "cancelled", "text": ""}));
    says(
        &run(&server.url(), &["submit", "Hello", "--follow"]).await,
        3,
        &["was cancelled"],
    );
    says(&run(&server.url(), &["result", RUN]).await, 3, &["was cancelled"]);
}

#[tokio::test]
async fn four_for_a_key_that_is_missing_or_may_not() {
    for (status, code) in [(401, "unauthorized"), (403, "admin_required")] {
        for args in [
            &["submit", "Hello"][..],
            &["list", "--all-tenants"],
            &["tail", RUN],
        ] {
            let server = Server::start().await.refuse(status, code);
            says(&run(&server.url(), args).await, 4, &[code, "--api-key-file"]);
        }
    }
}

#[tokio::test]
async fn five_for_a_server_that_is_not_there() {
    let url = nowhere().await;
    for args in [
        &["submit", "Hello"][..],
        &["status", RUN],
        &["result", RUN],
        &["tail", RUN],
        &["cancel", RUN],
        &["list"],
    ] {
        says(&run(&url, args).await, 5, &[&url, "refused", "mcpctl up"]);
    }
}

#[tokio::test]
async fn five_for_a_server_that_stays_away() {
    let server = Server::start()
        .await
        .log(&hello())
        .connections(&[Connection::Dropped(5)]);
    let ended = run(&server.url(), &["tail", RUN, "--reconnect-for", "0"]).await;
    assert_eq!(ended.stdout, "Hello ");
    says(&ended, 5, &["gave up", &format!("mcpctl tail {RUN} --after 1-4")]);
}

#[tokio::test]
async fn five_with_the_key_that_makes_another_try_safe() {
    // Answers nothing and closes: whether the run was accepted is not known.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mute = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.readable().await.unwrap();
        }
    });
    let ended = run(&url, &["submit", "Hello"]).await;
    says(&ended, 5, &["broke off", "--idempotency-key mcpctl-"]);
    mute.abort();
}

#[tokio::test]
async fn a_hundred_and_twenty_four_for_a_wait_that_was_too_short() {
    let server = Server::start()
        .await
        .log(&hello())
        .connections(&[Connection::Held(4)]);
    let ended = run(&server.url(), &["submit", "Hello", "--wait=0.2"]).await;
    says(
        &ended,
        124,
        &[
            "not finished after 0.2 s",
            "goes on",
            &format!("mcpctl tail {RUN}"),
        ],
    );
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn an_error_for_programs_is_one_object_on_stderr() {
    let server = Server::start().await.refuse(422, "invalid_field");
    let ended = run(&server.url(), &["submit", "Hello", "-o", "json"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let error: Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(error["error"]["exit"], 1);
    assert_eq!(error["error"]["code"], "invalid_field");
    assert_eq!(error["error"]["field"], "max_tokens");
    assert_eq!(error["error"]["request_id"], "req_1");
    assert_eq!(error["error"]["next"], "mcpctl submit --help");
}

#[tokio::test]
async fn a_suggested_command_means_the_same_server() {
    let server = Server::start().await.refuse(404, "run_not_found");
    let ended = run("", &["status", RUN, "--server", &server.url()]).await;
    says(&ended, 1, &[&format!("mcpctl list --server {}", server.url())]);
}
