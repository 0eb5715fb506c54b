//! Following a run over connections that break: every token once and in order, whatever happens to the socket.

use serde_json::{Value, json};

use crate::program::run;
use crate::server::{Connection, RUN, Server, beginning, delta, hello, rewind};

const STREAM: &str = "GET /mcp/v1/stream/run_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1";

fn cursors(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["cursor"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_answer_goes_to_stdout_and_all_else_to_stderr() {
    let server = Server::start().await.log(&hello());
    let ended = run(&server.url(), &["submit", "Hello", "--follow"]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Hello world\n"),
        "{ended:?}"
    );
    for said in [
        RUN,
        "simulator / sim",
        "finish_reason stop",
        "3 tokens in, 2 out",
        "simulated: true",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {ended:?}");
    }
    assert!(
        !ended.stderr.contains('\x1b'),
        "no colour and no spinner in a pipe: {ended:?}"
    );
}

#[tokio::test]
async fn a_dropped_socket_is_replaced_and_nothing_is_lost_or_repeated() {
    let drops = [
        Connection::Dropped(4),
        Connection::Dropped(0),
        Connection::Dropped(2),
    ];
    let server = Server::start().await.log(&hello()).connections(&drops);
    let ended = run(&server.url(), &["tail", RUN]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Hello world\n"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("connecting again"), "{ended:?}");
    let after = |cursor| format!("{STREAM}?after={cursor}");
    assert_eq!(
        server.lines(),
        [STREAM.to_owned(), after("1-3"), after("1-3"), after("1-5")]
    );
}

#[tokio::test]
async fn a_drained_server_is_come_back_to_with_the_cursor() {
    let closes = [
        Connection::Closed(5, 1013),
        Connection::Closed(1, 1001),
        Connection::Closed(0, 1011),
    ];
    let server = Server::start().await.log(&hello()).connections(&closes);
    let ended = run(&server.url(), &["tail", RUN, "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let events = ended.json();
    assert_eq!(
        cursors(&events),
        ["0-1", "1-1", "1-2", "1-3", "1-4", "1-5", "1-6", "1-7", "1-8"]
    );
    assert_eq!(
        server.lines()[1..],
        ["1-4", "1-5", "1-5"].map(|cursor| format!("{STREAM}?after={cursor}"))
    );
}

#[tokio::test]
async fn a_refused_upgrade_is_tried_again_when_it_may_pass() {
    let refusals = [
        Connection::Dropped(4),
        Connection::Refused(503),
        Connection::Refused(429),
    ];
    let server = Server::start().await.log(&hello()).connections(&refusals);
    let ended = run(&server.url(), &["tail", RUN]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Hello world\n"),
        "{ended:?}"
    );
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn what_comes_twice_is_told_once() {
    let connections = [Connection::Dropped(6), Connection::FromTheStart];
    let server = Server::start().await.log(&hello()).connections(&connections);
    let ended = run(&server.url(), &["tail", RUN]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Hello world\n"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_hole_is_asked_for_again() {
    let connections = [Connection::Dropped(4), Connection::Hole];
    let server = Server::start().await.log(&hello()).connections(&connections);
    let ended = run(&server.url(), &["tail", RUN]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Hello world\n"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("a hole between 1-3 and 1-5"), "{ended:?}");
}

#[tokio::test]
async fn following_begins_after_the_cursor_that_was_given() {
    let server = Server::start().await.log(&hello());
    let ended = run(&server.url(), &["tail", RUN, "--after", "1-4"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "world\n"), "{ended:?}");
    // The end was told before: it does not come again, but it is known.
    let ended = run(&server.url(), &["tail", RUN, "--after", "1-8"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    assert_eq!(
        server.lines().last().unwrap(),
        &format!("GET /mcp/v1/request/{RUN}/result")
    );
}

#[tokio::test]
async fn a_stream_that_ends_before_the_run_is_opened_again() {
    let connections = [Connection::Closed(4, 1000)];
    let server = Server::start()
        .await
        .log(&hello())
        .connections(&connections)
        .unfinished();
    let ended = run(&server.url(), &["tail", RUN]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "Hello world\n"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn after_a_rewind_the_answer_begins_anew_and_whole() {
    let mut log = beginning();
    log.extend([
        ("1-3", "output.delta", delta("kept ")),
        ("1-4", "output.delta", delta("void")),
        ("1-5", "attempt.started", rewind(1, "1-3")),
        ("1-6", "output.delta", delta("more")),
        ("3-1", "attempt.started", rewind(2, "1-2")),
        ("3-2", "output.delta", delta("all new")),
        (
            "3-3",
            "run.succeeded",
            json!({"finish_reason": "stop", "simulated": true}),
        ),
    ]);
    let server = Server::start().await.log(&log);
    let ended = run(&server.url(), &["submit", "Hello", "--follow"]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "kept void\nkept more\nall new\n"),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.matches("starts anew").count(), 2, "{ended:?}");
}

#[tokio::test]
async fn a_rewind_of_nothing_visible_is_not_worth_a_word() {
    let mut log = beginning();
    log.extend([
        ("2-1", "attempt.started", rewind(2, "1-2")),
        ("2-2", "output.delta", delta("Hello\n")),
        ("2-3", "run.succeeded", json!({"finish_reason": "stop"})),
    ]);
    let server = Server::start().await.log(&log);
    let ended = run(&server.url(), &["tail", RUN]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Hello\n"), "{ended:?}");
    assert!(!ended.stderr.contains("anew"), "{ended:?}");
}

#[tokio::test]
async fn a_rewind_of_what_an_earlier_reader_printed_is_announced() {
    let mut log = beginning();
    log.extend([
        ("1-3", "output.delta", delta("void")),
        ("2-1", "attempt.started", rewind(2, "1-2")),
        ("2-2", "output.delta", delta("new")),
        ("2-3", "run.succeeded", json!({"finish_reason": "stop"})),
    ]);
    let server = Server::start().await.log(&log);
    let ended = run(&server.url(), &["tail", RUN, "--after", "1-3"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "new\n"), "{ended:?}");
    assert!(ended.stderr.contains("starts anew after 1-2"), "{ended:?}");
}

#[tokio::test]
async fn a_newer_servers_events_are_passed_on_and_do_no_harm() {
    let mut log = hello();
    log.insert(3, ("2-1", "route.reconsidered", json!({"new": true})));
    for entry in &mut log[4..] {
        entry.0 = ["2-2", "2-3", "2-4", "2-5", "2-6", "2-7"][entry.0[2..].parse::<usize>().unwrap() - 3];
    }
    let server = Server::start().await.log(&log);
    let text = run(&server.url(), &["tail", RUN]).await;
    assert_eq!(
        (text.code, text.stdout.as_str()),
        (0, "Hello world\n"),
        "{text:?}"
    );
    let json = run(&server.url(), &["tail", RUN, "-o", "json"]).await;
    assert_eq!(json.json()[3]["data"], json!({"new": true}));
}

#[tokio::test]
async fn what_is_more_than_text_is_not_passed_over() {
    let mut log = beginning();
    log.extend([
        (
            "1-3",
            "output.delta",
            json!({"text": "", "delta": {"role": "assistant", "tool_calls": [{"index": 0}]}}),
        ),
        ("1-4", "run.succeeded", json!({"finish_reason": "tool_calls"})),
    ]);
    let server = Server::start().await.log(&log);
    let ended = run(&server.url(), &["tail", RUN]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("tool_calls") && ended.stderr.contains("result run_"),
        "{ended:?}"
    );
}
