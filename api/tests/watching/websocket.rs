//! A run's log on a WebSocket, with a client this project did not write.

use futures_util::SinkExt;
use shared::domain::{RunId, Status};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::server::{Server, cursors, heard, until_closed};
use crate::stage::Stage;

#[tokio::test]
async fn history_then_live_then_closed_with_1000() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let path = format!("/mcp/v1/stream/{run}");
    let mut attempt = stage.start(run).await;
    attempt.say(&["Hello"]).await;

    let mut socket = server.socket(&path).await;
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.push(heard(&mut socket).await.unwrap());
    }
    attempt.say(&[" there"]).await;
    frames.push(heard(&mut socket).await.unwrap());
    attempt.succeed("Hello there").await;
    let (rest, code) = until_closed(socket).await;
    frames.extend(rest);
    assert_eq!(code, 1000);
    assert_eq!(cursors(&frames), ["0-1", "1-1", "1-2", "1-3", "1-4"]);

    let (replay, code) = until_closed(server.socket(&path).await).await;
    assert_eq!((replay, code), (frames, 1000));
    let (nothing, code) = until_closed(server.socket(&format!("{path}?after=1-4")).await).await;
    assert_eq!((nothing.len(), code), (0, 1000));
    server.stop().await;
}

#[tokio::test]
async fn a_watcher_of_a_draining_server_goes_on_at_another_one() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let other = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let mut attempt = stage.start(run).await;
    let path = format!("/mcp/v1/stream/{run}");
    let mut socket = server.socket(&path).await;
    let mut frames = vec![
        heard(&mut socket).await.unwrap(),
        heard(&mut socket).await.unwrap(),
    ];
    server.drain.begin();
    let (rest, code) = until_closed(socket).await;
    frames.extend(rest);
    assert_eq!(code, 1013);
    server.stop().await;

    attempt.say(&["meanwhile"]).await;
    let last = cursors(&frames).pop().unwrap();
    let socket = other.socket(&format!("{path}?after={last}")).await;
    attempt.succeed("meanwhile").await;
    let (rest, code) = until_closed(socket).await;
    frames.extend(rest);
    assert_eq!(code, 1000);
    assert_eq!(cursors(&frames), ["0-1", "1-1", "1-2", "1-3"]);
    other.stop().await;
}

#[tokio::test]
async fn a_client_may_cancel() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let queued = stage.accept("local").await;
    let mut socket = server.socket(&format!("/mcp/v1/stream/{queued}")).await;
    socket.send(Message::text(r#"{"type":"cancel"}"#)).await.unwrap();
    let (frames, code) = until_closed(socket).await;
    assert_eq!(code, 1000);
    assert!(
        frames.last().unwrap().contains(r#""type":"run.cancelled""#),
        "{frames:?}"
    );
    assert!(frames.last().unwrap().contains(r#""by":"client""#), "{frames:?}");

    // A running one is left to its worker, which finds the wish in the ledger.
    let running = stage.accept("local").await;
    let _attempt = stage.start(running).await;
    let mut socket = server.socket(&format!("/mcp/v1/stream/{running}")).await;
    for _ in 0..2 {
        // Repeating it changes nothing.
        socket.send(Message::text(r#"{"type":"cancel"}"#)).await.unwrap();
    }
    // What is not a message of the protocol is heard after what was said before.
    socket.send(Message::text("enough")).await.unwrap();
    let (_, code) = until_closed(socket).await;
    assert_eq!(code, 4400);
    let record = stage.ledger.reader.run(running).await.unwrap().unwrap();
    assert_eq!(record.status, Status::Running);
    assert!(record.cancel_at.is_some());
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_message_of_the_protocol_closes_with_4400() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    for message in [
        Message::text(""),
        Message::text("cancel"),
        Message::text(r#"{"type":"pause"}"#),
        Message::text(r#"{"type":"cancel","run":"another"}"#),
        Message::text(format!("{}{}", "[".repeat(1_000), "]".repeat(1_000))),
        Message::text(" ".repeat(5_000)),
        Message::binary(&br#"{"type":"cancel"}"#[..]),
    ] {
        let mut socket = server.socket(&format!("/mcp/v1/stream/{run}")).await;
        socket.send(message.clone()).await.unwrap();
        let (_, code) = until_closed(socket).await;
        assert_eq!(code, 4400, "{message:?}");
    }
    let record = stage.ledger.reader.run(run).await.unwrap().unwrap();
    assert_eq!(record.status, Status::Queued);
    server.stop().await;
}

#[tokio::test]
async fn where_there_is_nothing_to_watch_the_close_code_says_why() {
    let stage = Stage::open().await;
    let server = Server::start_with_keys(&stage, &["acme:acme-0123456789ab", "rival:rival-0123456789"]).await;
    let run = stage.accept("acme").await;
    let unknown = RunId::new();
    for (path, key, code) in [
        (format!("/mcp/v1/stream/{unknown}"), "acme-0123456789ab", 4404),
        ("/mcp/v1/stream/42".to_owned(), "acme-0123456789ab", 4404),
        (format!("/mcp/v1/stream/{run}"), "rival-0123456789", 4404),
        (
            format!("/mcp/v1/stream/{run}?after=nonsense"),
            "acme-0123456789ab",
            4400,
        ),
        (
            format!("/mcp/v1/stream/{run}?after=1-1"),
            "acme-0123456789ab",
            4409,
        ),
    ] {
        let url = format!("ws://{}{path}", server.address);
        let mut request = url.into_client_request().unwrap();
        // As a browser says it.
        let protocols = format!("mcp.v1, bearer.{key}");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocols.parse().unwrap());
        let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "mcp.v1");
        let (frames, closed) = until_closed(socket).await;
        assert_eq!((frames.len(), closed), (0, code), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_come_in_is_told_before_the_upgrade() {
    let stage = Stage::open().await;
    let server = Server::start_with_keys(&stage, &["acme:acme-0123456789ab"]).await;
    let run = stage.accept("acme").await;
    let url = format!("ws://{}/mcp/v1/stream/{run}", server.address);
    let refused = tokio_tungstenite::connect_async(url).await.unwrap_err();
    let tungstenite::Error::Http(response) = refused else {
        panic!("{refused}")
    };
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let key = ("x-api-key", "acme-0123456789ab");
    let refusal = server.refusal(&format!("/mcp/v1/stream/{run}"), &[key]).await;
    assert_eq!(refusal, (426, "upgrade_required".to_owned()));
    server.stop().await;
}
