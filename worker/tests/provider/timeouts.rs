//! Every phase of a call has its limit, and no phase is charged for another. What is asserted is which limit was
//! reached, never how long it took.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};
use worker::providers::{ErrorKind, Phase, Timeouts};

use crate::calling::{PATIENT, call, provider, simulator, soon};
use crate::wire::{STREAM_HEAD, read_request};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_refused_connect_is_not_a_timeout() {
    // Bound and not listening: the port stays ours and refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let provider = provider(format!("http://{}/v1", socket.local_addr().unwrap()), PATIENT);
    let outcome = soon(call(&provider, "m", true)).await;
    assert_eq!(*outcome.failure().kind(), ErrorKind::Connect);
    assert!(outcome.failure().retryable());
    assert!(!outcome.failure().public_message().contains("127.0.0.1"));
}

#[tokio::test]
async fn a_connect_that_hangs() {
    // A TLS handshake that nobody answers is a part of connecting.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    let provider = provider(
        base_url,
        Timeouts {
            connect: SHORT,
            ..PATIENT
        },
    );
    let outcome = soon(call(&provider, "m", true)).await;
    assert_eq!(
        *outcome.failure().kind(),
        ErrorKind::Timeout(Phase::Connect),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn headers_or_a_first_token_that_never_come() {
    let simulator = simulator().await;
    let hasty = provider(
        simulator.base_url(),
        Timeouts {
            first_token: SHORT,
            ..PATIENT
        },
    );
    for model in ["sim:fault=stall_headers", "sim:fault=stall,after=0"] {
        let outcome = soon(call(&hasty, model, true)).await;
        assert_eq!(
            *outcome.failure().kind(),
            ErrorKind::Timeout(Phase::FirstToken),
            "{model}: {outcome:?}"
        );
        assert_eq!(outcome.text, "");
        assert!(outcome.failure().retryable());
    }
    // The provider notices that we have left.
    soon(simulator.wait_for(|stats| stats.open == 0)).await;
}

#[tokio::test]
async fn a_stream_that_stalls() {
    let simulator = simulator().await;
    let hasty = provider(
        simulator.base_url(),
        Timeouts {
            between_tokens: SHORT,
            ..PATIENT
        },
    );
    let outcome = soon(call(&hasty, "sim:tokens=8,fault=stall,after=3", true)).await;
    assert_eq!(
        *outcome.failure().kind(),
        ErrorKind::Timeout(Phase::BetweenTokens),
        "{outcome:?}"
    );
    assert_eq!(
        outcome.text,
        simulator::expected_text(1, crate::calling::PROMPT, 3)
    );
    soon(simulator.wait_for(|stats| stats.open == 0)).await;
}

#[tokio::test]
async fn keep_alive_comments_are_not_progress() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        socket.write_all(STREAM_HEAD).await.unwrap();
        socket
            .write_all(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n")
            .await
            .unwrap();
        let mut pulse = tokio::time::interval(Duration::from_millis(5));
        while socket.write_all(b": alive\n\n").await.is_ok() {
            pulse.tick().await;
        }
    });
    let hasty = provider(
        base_url,
        Timeouts {
            between_tokens: SHORT,
            ..PATIENT
        },
    );
    let outcome = soon(call(&hasty, "m", true)).await;
    assert_eq!(
        *outcome.failure().kind(),
        ErrorKind::Timeout(Phase::BetweenTokens),
        "{outcome:?}"
    );
    drop(outcome);
    soon(server).await.unwrap();
}

#[tokio::test]
async fn a_call_that_goes_on_for_ever() {
    let simulator = simulator().await;
    let hasty = provider(
        simulator.base_url(),
        Timeouts {
            total: SHORT,
            ..PATIENT
        },
    );
    let calls = [
        // Slow tokens, tokens without a pause, and no answer at all.
        ("sim:tokens=1000000,pace=10ms", true),
        ("sim:tokens=1000000,pace=0", true),
        ("sim:first=1000s", true),
        ("sim:first=1000s", false),
        ("sim:fault=stall_headers", false),
        ("sim:fault=stall,after=1", false),
    ];
    for (model, stream) in calls {
        let outcome = soon(call(&hasty, model, stream)).await;
        assert_eq!(
            *outcome.failure().kind(),
            ErrorKind::Timeout(Phase::Total),
            "{model}: {outcome:?}"
        );
    }
    soon(simulator.wait_for(|stats| stats.open == 0)).await;
}

#[tokio::test]
async fn a_whole_answer_has_no_first_token() {
    let simulator = simulator().await;
    let short = Timeouts {
        first_token: Duration::ZERO,
        between_tokens: Duration::ZERO,
        ..PATIENT
    };
    let outcome = soon(call(
        &provider(simulator.base_url(), short),
        "sim:first=50ms",
        false,
    ))
    .await;
    outcome.complete();
}
