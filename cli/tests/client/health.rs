//! `health`: 0 where the process is well, 1 for everything else, and the reason.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::program::{Ended, run};

/// A process that answers its probes so: whether it lives, and whether it can work.
async fn process(alive: (u16, &'static str), ready: (u16, &'static str)) -> String {
    let answer = |(status, body): (u16, &'static str)| {
        get(move || async move { (StatusCode::from_u16(status).unwrap(), body) })
    };
    let app = Router::new()
        .route("/health", answer(alive))
        .route("/health/ready", answer(ready));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}")
}

fn says(ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for text in texts {
        assert!(ended.stderr.contains(text), "{text}: {ended:?}");
    }
}

#[tokio::test]
async fn alive_is_not_ready() {
    let api = process(
        (200, r#"{"status":"ok"}"#),
        (
            503,
            r#"{"status":"unavailable","reasons":["draining","ledger_unavailable"]}"#,
        ),
    )
    .await;
    let alive = run(&api, &["health"]).await;
    assert_eq!((alive.code, alive.stdout.as_str()), (0, "alive\n"), "{alive:?}");
    let ready = run(&api, &["health", "--ready"]).await;
    says(&ready, 1, &["draining, ledger_unavailable", "503"]);
    assert_eq!(ready.stdout, "");
}

#[tokio::test]
async fn a_worker_answers_in_words() {
    let worker = process((200, "ok\n"), (200, "ready\n")).await;
    let ready = run("", &["health", "--ready", "--server", &worker]).await;
    assert_eq!((ready.code, ready.stdout.as_str()), (0, "ready\n"), "{ready:?}");
    let json = run(&worker, &["health", "--ready", "-o", "json"]).await;
    assert_eq!(json.code, 0, "{json:?}");
    assert_eq!(
        (&json.json()[0]["status"], &json.json()[0]["said"]),
        (&"ok".into(), &"ready\n".into())
    );
    let starting = process((200, "ok\n"), (503, "no lease: the ledger is away\n")).await;
    says(
        &run(&starting, &["health", "--ready"]).await,
        1,
        &["no lease: the ledger is away"],
    );
}

#[tokio::test]
async fn one_where_nobody_answers_and_where_the_answer_does_not_come() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    says(&run(&nowhere, &["health"]).await, 1, &[&nowhere, "cannot reach"]);

    // It accepts, by its backlog, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let ended = run(&address, &["health", "--timeout", "200ms"]).await;
    says(&ended, 1, &["no answer within 0.2 s", "mcpctl health"]);
}
