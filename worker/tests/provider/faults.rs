//! Every fault of the simulator, for answers in pieces and whole.

use serde_json::{Map, Value, json};
use shared::domain::FailureCode;
use simulator::expected_text;
use worker::providers::{ChatPiece, ErrorKind};

use crate::calling::{PATIENT, PROMPT, call, call_with, provider, simulator, soon};

#[tokio::test]
async fn an_answer_comes_whole_or_in_pieces_with_the_same_content() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    for stream in [true, false] {
        let outcome = soon(call(&provider, "sim:tokens=6", stream)).await;
        let complete = outcome.complete();
        assert_eq!(outcome.text, expected_text(1, PROMPT, 6));
        assert_eq!(outcome.reasons, ["stop"]);
        assert_eq!(outcome.usage.as_ref().unwrap().output_tokens, 6);
        assert!(complete.simulated(), "the simulator labels itself");
        assert!(complete.request_id().is_some());
        assert_eq!(complete.metadata()["model"].get(), "\"sim:tokens=6\"");
        let texts = outcome
            .pieces
            .iter()
            .filter(|piece| matches!(piece, ChatPiece::Delta { delta, .. } if !delta.text.is_empty()));
        assert_eq!(texts.count(), if stream { 6 } else { 1 });
    }
    assert!(simulator.requests().iter().all(|request| request.authorized));
}

#[tokio::test]
async fn fields_we_do_not_know_survive() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    let params = json!({"top_p": 0.5, "x_vendor": {"a": [1]}, "max_tokens": 2});
    let Value::Object(params) = params else {
        unreachable!()
    };
    for stream in [true, false] {
        let outcome = soon(call_with(&provider, "sim:unknown=1,tokens=3", stream, &params)).await;
        let reasoning = outcome.pieces.iter().any(|piece| {
            matches!(piece, ChatPiece::Delta { delta, .. } if delta.delta.contains_key("reasoning_content"))
        });
        assert!(reasoning, "{outcome:?}");
        assert_eq!(
            outcome.complete().metadata()["x_vendor"].get(),
            r#"{"price":1.50,"note":null}"#
        );
        assert_eq!(outcome.reasons, ["length"]);
    }
    for request in simulator.requests() {
        let body: Map<String, Value> = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["x_vendor"], json!({"a": [1]}));
        assert_eq!(body["top_p"], 0.5);
    }
}

#[tokio::test]
async fn tool_calls_are_an_answer() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    for stream in [true, false] {
        let outcome = soon(call(&provider, "sim:tools=1,tokens=3", stream)).await;
        outcome.complete();
        assert_eq!(outcome.reasons, ["tool_calls"]);
        let calls = outcome.pieces.iter().any(
            |piece| matches!(piece, ChatPiece::Delta { delta, .. } if delta.delta.contains_key("tool_calls")),
        );
        assert!(calls, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_status_says_whether_to_come_back_and_when() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    let retry_after = None;
    let kinds = [
        (
            400,
            ErrorKind::Rejected { status: 400 },
            FailureCode::ProviderRejected,
            false,
        ),
        (
            401,
            ErrorKind::Unauthorized { status: 401 },
            FailureCode::ProviderUnauthorized,
            false,
        ),
        (
            403,
            ErrorKind::Unauthorized { status: 403 },
            FailureCode::ProviderUnauthorized,
            false,
        ),
        (
            404,
            ErrorKind::Rejected { status: 404 },
            FailureCode::ProviderRejected,
            false,
        ),
        (
            408,
            ErrorKind::Server {
                status: 408,
                retry_after,
            },
            FailureCode::ProviderServerError,
            true,
        ),
        (
            422,
            ErrorKind::Rejected { status: 422 },
            FailureCode::ProviderRejected,
            false,
        ),
        (
            429,
            ErrorKind::RateLimited { retry_after },
            FailureCode::ProviderRateLimited,
            true,
        ),
        (
            500,
            ErrorKind::Server {
                status: 500,
                retry_after,
            },
            FailureCode::ProviderServerError,
            true,
        ),
        (
            503,
            ErrorKind::Server {
                status: 503,
                retry_after,
            },
            FailureCode::ProviderServerError,
            true,
        ),
        (
            529,
            ErrorKind::Server {
                status: 529,
                retry_after,
            },
            FailureCode::ProviderServerError,
            true,
        ),
    ];
    for (status, kind, code, retryable) in kinds {
        for stream in [true, false] {
            let outcome = soon(call(&provider, &format!("sim:fault={status}"), stream)).await;
            let error = outcome.failure();
            assert_eq!(
                (error.kind(), error.code(), error.retryable()),
                (&kind, code, retryable)
            );
            assert!(
                error.to_string().contains("simulated"),
                "the log has the provider's words: {error}"
            );
        }
    }
    let sent = simulator.stats().requests;
    assert_eq!(sent, 2 * 10, "nothing is repeated in here");

    for model in ["sim:fault=429,retry_after=7", "sim:fault=503,retry_after=7"] {
        let outcome = soon(call(&provider, model, true)).await;
        assert_eq!(outcome.failure().retry_after().unwrap().as_secs(), 7);
    }
    let outcome = soon(call(&provider, "sim:fault=429,retry_after=date:300", true)).await;
    let seconds = outcome.failure().retry_after().unwrap().as_secs();
    assert!((200..=301).contains(&seconds), "{seconds}");
    let unauthorized = soon(call(&provider, "sim:fault=401", true))
        .await
        .failure()
        .public_message();
    assert!(unauthorized.contains("ACME_API_KEY"), "{unauthorized}");
}

/// What a client must make of a fault: no error means a complete answer.
struct Expected {
    model: &'static str,
    stream: bool,
    kind: Option<ErrorKind>,
    tokens: u32,
}

const fn fails(model: &'static str, stream: bool, kind: ErrorKind, tokens: u32) -> Expected {
    Expected {
        model,
        stream,
        kind: Some(kind),
        tokens,
    }
}

const fn answers(model: &'static str, stream: bool) -> Expected {
    Expected {
        model,
        stream,
        kind: None,
        tokens: 4,
    }
}

#[tokio::test]
async fn a_broken_answer_is_never_taken_for_a_complete_one() {
    let bad_gateway = || ErrorKind::Server {
        status: 502,
        retry_after: None,
    };
    let server_error = || ErrorKind::Server {
        status: 500,
        retry_after: None,
    };
    let table = [
        fails("sim:fault=html", true, bad_gateway(), 0),
        fails("sim:fault=html", false, bad_gateway(), 0),
        fails("sim:fault=html200", true, ErrorKind::Malformed, 0),
        fails("sim:fault=html200", false, ErrorKind::Malformed, 0),
        fails("sim:fault=refuse", true, ErrorKind::Interrupted, 0),
        fails("sim:fault=refuse", false, ErrorKind::Interrupted, 0),
        fails("sim:tokens=4,fault=cut", true, ErrorKind::Interrupted, 0),
        fails("sim:tokens=4,fault=cut,after=2", true, ErrorKind::Interrupted, 2),
        fails("sim:tokens=4,fault=cut,after=4", true, ErrorKind::Interrupted, 4),
        fails("sim:tokens=4,fault=cut,after=2", false, ErrorKind::Interrupted, 0),
        fails(
            "sim:tokens=4,fault=cut_dirty,after=2",
            true,
            ErrorKind::Interrupted,
            2,
        ),
        fails(
            "sim:tokens=4,fault=cut_dirty,after=2",
            false,
            ErrorKind::Interrupted,
            0,
        ),
        fails("sim:tokens=4,fault=error_event,after=2", true, server_error(), 2),
        fails("sim:tokens=4,fault=error_event", false, server_error(), 0),
        fails(
            "sim:tokens=4,fault=malformed,after=2",
            true,
            ErrorKind::Malformed,
            2,
        ),
        fails("sim:tokens=4,fault=malformed", false, ErrorKind::Interrupted, 0),
        fails(
            "sim:tokens=4,fault=bad_utf8,after=2",
            true,
            ErrorKind::Malformed,
            2,
        ),
        fails("sim:tokens=4,fault=bad_utf8", false, ErrorKind::Malformed, 0),
        fails(
            "sim:tokens=4,fault=giant_line,after=2",
            true,
            ErrorKind::TooLarge,
            2,
        ),
        fails(
            "sim:tokens=4,fault=giant_line,size=70000000",
            false,
            ErrorKind::TooLarge,
            0,
        ),
        fails("sim:tokens=4,fault=empty", true, ErrorKind::EmptyAnswer, 0),
        fails("sim:tokens=4,fault=empty", false, ErrorKind::EmptyAnswer, 0),
        fails("sim:tokens=4,fault=no_finish", true, ErrorKind::Interrupted, 4),
        fails("sim:tokens=4,fault=no_finish", false, ErrorKind::Interrupted, 0),
        fails("sim:tokens=4,fault=wrong_type", true, ErrorKind::Malformed, 0),
        fails("sim:tokens=4,fault=wrong_type", false, ErrorKind::Malformed, 0),
        answers("sim:tokens=4,fault=no_usage", true),
        answers("sim:tokens=4,fault=no_usage", false),
        answers("sim:tokens=4,fault=duplicate_usage", true),
        answers("sim:tokens=4,fault=duplicate_usage", false),
    ];
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    for Expected {
        model,
        stream,
        kind,
        tokens,
    } in table
    {
        let outcome = soon(call(&provider, model, stream)).await;
        let context = format!("{model}, stream {stream}: {outcome:?}");
        assert_eq!(
            outcome.error.as_ref().map(|error| error.kind().clone()),
            kind,
            "{context}"
        );
        assert_eq!(outcome.text, expected_text(1, PROMPT, tokens), "{context}");
        if let Some(error) = &outcome.error {
            assert_eq!(
                error.retryable(),
                *error.kind() != ErrorKind::TooLarge,
                "{context}"
            );
            assert!(!error.public_message().contains("127.0.0.1"), "{context}");
        } else {
            assert_eq!(outcome.usage.is_none(), model.contains("no_usage"), "{context}");
        }
    }
}

#[tokio::test]
async fn a_reset_is_an_interruption() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    for stream in [true, false] {
        let outcome = soon(call(&provider, "sim:tokens=4,fault=reset,after=2", stream)).await;
        assert_eq!(*outcome.failure().kind(), ErrorKind::Interrupted, "{outcome:?}");
        // A reset may overtake what was sent before it, so less than two tokens is no defect of ours.
        assert!(
            expected_text(1, PROMPT, 2).starts_with(&outcome.text),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn an_empty_answer_is_still_accounted() {
    let simulator = simulator().await;
    let provider = provider(simulator.base_url(), PATIENT);
    for stream in [true, false] {
        let outcome = soon(call(&provider, "sim:fault=empty", stream)).await;
        assert_eq!(outcome.failure().code(), FailureCode::ProviderEmptyAnswer);
        assert!(outcome.stream.unwrap().usage().is_some());
    }
}
