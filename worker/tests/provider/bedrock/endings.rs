//! How answers of Bedrock end, well and otherwise.

use super::*;

#[tokio::test]
async fn reasons_to_stop() {
    for (theirs, ours) in [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("a_new_one", "a_new_one"),
    ] {
        let exchange = streamed(&Asked::of(NOVA), &[text("so"), stop(theirs), last()]).await;
        exchange.outcome.complete();
        assert_eq!(exchange.outcome.reasons, [ours]);
        assert_eq!(exchange.said()["stopReason"], theirs);
    }
    let broken = streamed(
        &Asked::of(NOVA),
        &[text("so"), stop("malformed_tool_use"), last()],
    )
    .await;
    assert_eq!(*broken.outcome.failure().kind(), ErrorKind::Interrupted);
    let empty = streamed(&Asked::of(NOVA), &[stop("end_turn"), last()]).await;
    assert_eq!(*empty.outcome.failure().kind(), ErrorKind::EmptyAnswer);
    let unmetered = streamed(&Asked::of(NOVA), &[text("so"), stop("end_turn")]).await;
    unmetered.outcome.complete();
    assert_eq!(unmetered.outcome.usage, None);
}

#[tokio::test]
async fn what_bedrock_does_not_finish_is_not_complete() {
    let retry_after = None;
    let server = |status| ErrorKind::Server { status, retry_after };
    let said = r#"{"message":"slow down"}"#;
    let mut flipped = text("so");
    flipped[30] ^= 1;
    let orphan = event(
        "contentBlockDelta",
        &json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{"}}}),
    );
    for (messages, kind) in [
        (Vec::new(), ErrorKind::Interrupted),
        (text("so"), ErrorKind::Interrupted),
        ([text("so"), last()].concat(), ErrorKind::Interrupted),
        (
            [text("so"), stop("end_turn")[..40].to_vec()].concat(),
            ErrorKind::Interrupted,
        ),
        (flipped, ErrorKind::Malformed),
        (orphan, ErrorKind::Malformed),
        (event("messageStop", &json!(7)), ErrorKind::Malformed),
        (
            [text("so"), exception("throttlingException", said)].concat(),
            ErrorKind::RateLimited { retry_after },
        ),
        (
            exception("validationException", said),
            ErrorKind::Rejected { status: 400 },
        ),
        (exception("internalServerException", said), server(500)),
        (exception("serviceUnavailableException", said), server(503)),
        (exception("modelStreamErrorException", said), server(424)),
        (exception("aNewException", said), ErrorKind::Interrupted),
    ] {
        let exchange = exchange(bedrock, &Asked::of(NOVA), stream(&messages)).await;
        let error = exchange.outcome.failure();
        assert_eq!(*error.kind(), kind);
        if messages.ends_with(&exception("validationException", said)) {
            assert!(
                error.public_message().ends_with("slow down"),
                "{}",
                error.public_message()
            );
        }
    }
    let nothing = whole(Asked::of(NOVA), r#"{"metrics":{}}"#).await;
    assert_eq!(*nothing.outcome.failure().kind(), ErrorKind::Malformed);
    let unfinished = whole(
        Asked::of(NOVA),
        r#"{"output":{"message":{"content":[{"text":"so"}]}}}"#,
    )
    .await;
    assert_eq!(*unfinished.outcome.failure().kind(), ErrorKind::Interrupted);
}

#[tokio::test]
async fn refusals_in_awss_words() {
    let retry_after = None;
    for (status, body, kind) in [
        (
            "429 Too Many Requests",
            THROTTLED,
            ErrorKind::RateLimited { retry_after },
        ),
        (
            "400 Bad Request",
            r#"{"message":"The provided model identifier is invalid."}"#,
            ErrorKind::Rejected { status: 400 },
        ),
        (
            "403 Forbidden",
            r#"{"Message":"Bearer Token has expired"}"#,
            ErrorKind::Unauthorized { status: 403 },
        ),
        (
            "424 Failed Dependency",
            r#"{"message":"it failed"}"#,
            ErrorKind::Server {
                status: 424,
                retry_after,
            },
        ),
        (
            "503 Service Unavailable",
            r#"{"message":"busy"}"#,
            ErrorKind::Server {
                status: 503,
                retry_after,
            },
        ),
    ] {
        for asked in [Asked::of(NOVA), Asked::of(NOVA).whole()] {
            let exchange = exchange(bedrock, &asked, dialects::json(status, body)).await;
            let error = exchange.outcome.failure();
            assert_eq!(*error.kind(), kind, "{body}");
            let body: Value = serde_json::from_str(body).unwrap();
            let message = body
                .get("message")
                .or_else(|| body.get("Message"))
                .unwrap()
                .as_str()
                .unwrap();
            assert!(
                error.to_string().contains(&format!("it said: {message}")),
                "{error}"
            );
        }
    }
}
