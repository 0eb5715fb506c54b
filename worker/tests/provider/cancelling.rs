//! Dropping a call drops its connection, at whatever point. The simulator tells when it has noticed.

use serde_json::Map;
use worker::providers::{ChatPiece, Provider, ProviderError};

use crate::calling::{PATIENT, provider, simulator, soon, start};

/// Makes a call that never ends by itself.
async fn endless(provider: &Provider, model: &str, stream: bool) -> Result<(), ProviderError> {
    let params = Map::new();
    let mut answer = start(provider, model, stream, &params).await?;
    while answer.next().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn dropped_while_waiting() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    let calls = [
        ("sim:fault=stall_headers", true),
        ("sim:fault=stall_headers", false),
        ("sim:first=1000s", true),
        ("sim:first=1000s", false),
        ("sim:fault=stall,after=1", false),
    ];
    for (done, (model, stream)) in (1..).zip(calls) {
        tokio::select! {
            outcome = endless(&provider, model, stream) => panic!("{model} ended: {outcome:?}"),
            _ = soon(simulator.wait_for(|stats| stats.open == 1)) => {}
        }
        // The call's future is gone now; nothing else ends it on the other side.
        let stats = soon(simulator.wait_for(|stats| stats.open == 0)).await;
        assert_eq!(
            (stats.dropped, stats.requests),
            (done, done),
            "{model}, stream {stream}"
        );
    }
}

#[tokio::test]
async fn dropped_in_mid_stream() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    let params = Map::new();
    let mut answer = start(&provider, "sim:tokens=1000,pace=1000s", true, &params)
        .await
        .unwrap();
    loop {
        match soon(answer.next()).await.unwrap().unwrap() {
            ChatPiece::Delta { delta, .. } if !delta.text.is_empty() => break,
            ChatPiece::Delta { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(simulator.stats().open_streams, 1);
    drop(answer);
    let stats = soon(simulator.wait_for(|stats| stats.open == 0)).await;
    assert_eq!((stats.dropped, stats.open_streams), (1, 0));
}

#[tokio::test]
async fn a_read_that_is_dropped_loses_nothing() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    let params = Map::new();
    let mut answer = start(&provider, "sim:tokens=20,pace=2ms", true, &params)
        .await
        .unwrap();
    let mut text = String::new();
    loop {
        // Polled once and dropped, again and again, as a `select!` with a busy neighbour does.
        let next = tokio::select! {
            biased;
            next = answer.next() => next.unwrap(),
            () = tokio::task::yield_now() => continue,
        };
        match next {
            Some(ChatPiece::Delta { delta, .. }) => text.push_str(&delta.text),
            Some(_) => {}
            None => break,
        }
    }
    assert_eq!(text, simulator::expected_text(1, crate::calling::PROMPT, 20));
}
