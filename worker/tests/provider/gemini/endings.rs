//! How answers of Gemini end, well and otherwise.

use super::*;

#[tokio::test]
async fn reasons_to_stop() {
    let text = json!([{"text": "so"}]);
    for (theirs, ours) in [
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("OTHER", "other"),
        ("A_NEW_ONE", "a_new_one"),
    ] {
        let exchange = streamed(candidate(&text, theirs)).await;
        exchange.outcome.complete();
        assert_eq!(exchange.outcome.reasons, [ours]);
        assert_eq!(exchange.said()["finishReason"], theirs);
    }
    let mut broken = candidate(&json!([]), "MALFORMED_FUNCTION_CALL");
    broken["candidates"][0]["finishMessage"] = json!("print(f(");
    let error = streamed(broken).await.outcome.failure().clone();
    assert_eq!(*error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("MALFORMED_FUNCTION_CALL") && error.to_string().contains("print(f("));
    let empty = streamed(candidate(&json!([]), "STOP")).await;
    assert_eq!(*empty.outcome.failure().kind(), ErrorKind::EmptyAnswer);
    let signed = streamed(candidate(&json!([{"text": "", "thoughtSignature": "s"}]), "STOP")).await;
    assert_eq!(
        *signed.outcome.failure().kind(),
        ErrorKind::EmptyAnswer,
        "a signature is nothing to see"
    );
    let cut = streamed(candidate(&json!([]), "MAX_TOKENS")).await;
    cut.outcome.complete();
}

#[tokio::test]
async fn what_gemini_does_not_finish_is_not_complete() {
    let unfinished = dialects::json("200 OK", UNFINISHED);
    let answer = exchange(gemini, &Asked::of(OLDER).whole(), unfinished).await;
    assert_eq!(*answer.outcome.failure().kind(), ErrorKind::Interrupted);
    let first_event = &TEXT[..TEXT.find("\n\n").unwrap() + 2];
    for (body, kind) in [
        (first_event.to_owned(), ErrorKind::Interrupted),
        (
            format!("{first_event}data: {{\"candidates\""),
            ErrorKind::Interrupted,
        ),
        (
            format!("{first_event}data: {{\"candidates\"\n\n"),
            ErrorKind::Malformed,
        ),
        (format!("{first_event}data: 7\n\n"), ErrorKind::Malformed),
        (String::new(), ErrorKind::Interrupted),
        (
            format!(
                "{first_event}data: {{\"error\":{{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}}}\n\n"
            ),
            ErrorKind::Server {
                status: 503,
                retry_after: None,
            },
        ),
    ] {
        let exchange = exchange(gemini, &Asked::of(NEWER), events(&body)).await;
        assert_eq!(*exchange.outcome.failure().kind(), kind, "{body}");
    }
}

#[tokio::test]
async fn what_we_do_not_know_breaks_nothing() {
    let mut event = candidate(
        &json!([{"text": "so"}, {"executableCode": {"language": "PYTHON", "code": "1"}}, {"inlineData": {"data": "x"}}]),
        "STOP",
    );
    event["candidates"][0]["groundingMetadata"] = json!({"a": 1});
    event["candidates"][0]["safetyRatings"] = json!([]);
    event["x_new"] = json!({"b": 1.50});
    event["candidates"]
        .as_array_mut()
        .unwrap()
        .push(json!({"index": 1, "content": {"parts": [{"text": "no"}]}}));
    let exchange = streamed(event).await;
    let answer = exchange.answer();
    assert_eq!(answer.text, "so", "one answer was asked for");
    assert_eq!(
        answer.message["gemini_parts"],
        json!([{"index": 0, "executableCode": {"language": "PYTHON", "code": "1"}},
            {"index": 1, "inlineData": {"data": "x"}}])
    );
    assert_eq!(
        beside(&exchange),
        *json!({"groundingMetadata": {"a": 1}}).as_object().unwrap()
    );
    assert_eq!(exchange.said()["x_new"], json!({"b": 1.5}));
}

#[tokio::test]
async fn refusals_in_googles_words() {
    let key = json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}});
    let invalid = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT",
        "message": "Function calling with a response mime type: 'application/json' is unsupported"}});
    let retry_after = None;
    for (status, body, kind) in [
        (
            "400 Bad Request",
            key.to_string(),
            ErrorKind::Unauthorized { status: 401 },
        ),
        (
            "400 Bad Request",
            invalid.to_string(),
            ErrorKind::Rejected { status: 400 },
        ),
        (
            "503 Service Unavailable",
            "{}".to_owned(),
            ErrorKind::Server {
                status: 503,
                retry_after,
            },
        ),
        (
            "429 Too Many Requests",
            QUOTA.to_owned(),
            ErrorKind::RateLimited {
                retry_after: Some(Duration::from_millis(34_400)),
            },
        ),
    ] {
        let exchange = exchange(gemini, &Asked::of(NEWER), dialects::json(status, &body)).await;
        let error = exchange.outcome.failure();
        assert_eq!(*error.kind(), kind, "{body}");
        if *error.kind() == (ErrorKind::Rejected { status: 400 }) {
            assert!(
                error
                    .public_message()
                    .ends_with("'application/json' is unsupported")
            );
        }
    }
    let soon = format!(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: {}\r\n\r\n{QUOTA}",
        QUOTA.len()
    );
    let exchange = exchange(gemini, &Asked::of(NEWER), soon.into_bytes()).await;
    let header = ErrorKind::RateLimited {
        retry_after: Some(Duration::from_secs(2)),
    };
    assert_eq!(
        *exchange.outcome.failure().kind(),
        header,
        "the header counts first"
    );
}
