//! A run's log as server-sent events.

use crate::server::{EventSource, Server, cursors};
use crate::stage::Stage;

#[tokio::test]
async fn watchers_that_join_at_different_moments_see_the_same() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let path = format!("/mcp/v1/request/{run}/events");

    let mut early = EventSource::of(server.get(&path, &[]).await);
    let mut seen_early = vec![early.entry().await.unwrap()];
    let mut attempt = stage.start(run).await;
    attempt.say(&["Hel", "lo"]).await;
    let mut midway = EventSource::of(server.get(&path, &[]).await);
    let mut seen_midway = vec![midway.entry().await.unwrap(), midway.entry().await.unwrap()];
    attempt.say(&[" world"]).await;
    attempt.succeed("Hello world").await;
    let late = EventSource::of(server.get(&path, &[]).await).rest().await;

    seen_early.extend(early.rest().await);
    seen_midway.extend(midway.rest().await);
    assert_eq!(cursors(&late), ["0-1", "1-1", "1-2", "1-3", "1-4", "1-5"]);
    assert_eq!(seen_early, late);
    assert_eq!(seen_midway, late);
    let log = stage
        .ledger
        .log
        .entries(run, shared::domain::Cursor::START, 100)
        .await
        .unwrap();
    assert_eq!(
        late,
        log.iter()
            .map(shared::domain::LogEntry::to_json)
            .collect::<Vec<_>>()
    );
    server.stop().await;
}

#[tokio::test]
async fn a_reader_goes_on_from_its_cursor() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let mut attempt = stage.start(run).await;
    attempt.say(&["a", "b"]).await;
    attempt.succeed("ab").await;
    let path = format!("/mcp/v1/request/{run}/events");

    let after = format!("{path}?after=1-2");
    let by_query = EventSource::of(server.get(&after, &[]).await).rest().await;
    assert_eq!(cursors(&by_query), ["1-3", "1-4"]);
    let by_header = EventSource::of(server.get(&path, &[("last-event-id", "1-1")]).await)
        .rest()
        .await;
    assert_eq!(cursors(&by_header), ["1-2", "1-3", "1-4"]);
    // A browser that comes back asks for the first address again.
    let by_both = EventSource::of(server.get(&after, &[("last-event-id", "1-3")]).await)
        .rest()
        .await;
    assert_eq!(cursors(&by_both), ["1-4"]);
    let from_the_start = EventSource::of(server.get(&format!("{path}?after=0-0"), &[]).await)
        .rest()
        .await;
    assert_eq!(from_the_start.len(), 5);
    server.stop().await;
}

#[tokio::test]
async fn a_browser_that_comes_back_after_the_end_is_told_to_stay_away() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    stage.start(run).await.succeed("").await;
    let path = format!("/mcp/v1/request/{run}/events");
    let response = server.get(&path, &[("last-event-id", "1-2")]).await;
    assert_eq!(response.status(), 204);
    server.stop().await;
}

#[tokio::test]
async fn bad_cursors_and_foreign_runs_are_refused_before_the_stream() {
    let stage = Stage::open().await;
    let keys = [
        "acme:acme-0123456789ab",
        "rival:rival-0123456789",
        "ops:ops-0123456789abc:admin",
    ];
    let server = Server::start_with_keys(&stage, &keys).await;
    let run = stage.accept("acme").await;
    let path = format!("/mcp/v1/request/{run}/events");
    let acme = ("x-api-key", "acme-0123456789ab");

    for bad in ["", "1", "one-two", "-1-1", "1-2-3"] {
        let refusal = server.refusal(&format!("{path}?after={bad}"), &[acme]).await;
        assert_eq!(refusal, (400, "invalid_cursor".to_owned()), "{bad}");
    }
    let refusal = server.refusal(&path, &[acme, ("last-event-id", "x")]).await;
    assert_eq!(refusal, (400, "invalid_cursor".to_owned()));
    for never in ["0-2", "1-1", "7-0", "2147483647-2147483647"] {
        for accept in ["text/event-stream", "application/json"] {
            let refusal = server
                .refusal(&format!("{path}?after={never}"), &[acme, ("accept", accept)])
                .await;
            assert_eq!(refusal, (400, "unknown_cursor".to_owned()), "{never} {accept}");
        }
    }
    let unknown = format!("/mcp/v1/request/{}/events", shared::domain::RunId::new());
    assert_eq!(
        server.refusal(&unknown, &[acme]).await,
        (404, "run_not_found".to_owned())
    );
    assert_eq!(
        server.refusal("/mcp/v1/request/42/events", &[acme]).await,
        (400, "invalid_id".to_owned())
    );
    let rival = ("authorization", "Bearer rival-0123456789");
    assert_eq!(
        server.refusal(&path, &[rival]).await,
        (404, "run_not_found".to_owned())
    );
    assert_eq!(server.refusal(&path, &[]).await, (401, "unauthorized".to_owned()));
    let refusal = server.refusal(&format!("{path}?aftr=1-1"), &[acme]).await;
    assert_eq!(refusal, (400, "invalid_query".to_owned()));

    let ops = ("authorization", "Bearer ops-0123456789abc");
    let mut admin = EventSource::of(server.get(&path, &[ops]).await);
    assert!(admin.entry().await.unwrap().contains("run.queued"));
    drop(admin);
    server.stop().await;
}

#[tokio::test]
async fn a_draining_server_sends_its_readers_elsewhere() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let other = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let path = format!("/mcp/v1/request/{run}/events");
    let mut events = EventSource::of(server.get(&path, &[]).await);
    assert_eq!(events.block().await.unwrap().field("retry"), Some("1000"));
    let last = events.block().await.unwrap().field("id").unwrap().to_owned();

    server.drain.begin();
    let farewell = events.block().await.unwrap();
    assert!(
        farewell.0.iter().any(|line| line.starts_with(':')),
        "{farewell:?}"
    );
    assert_eq!(farewell.field("retry"), Some("1000"));
    assert_eq!(events.block().await, None);

    let elsewhere = EventSource::of(other.get(&path, &[("last-event-id", &last)]).await);
    stage.start(run).await.succeed("").await;
    assert_eq!(cursors(&elsewhere.rest().await), ["1-1", "1-2"]);
    server.stop().await;
    other.stop().await;
}
