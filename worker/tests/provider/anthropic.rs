//! The Anthropic dialect over a real socket, against answers in the form of public recordings (`fixtures/anthropic`
//! says of which).

use serde_json::{Value, json};
use shared::catalog::{Auth, Dialect};
use worker::providers::{ErrorKind, Provider, ProviderSettings};

use crate::calling::{PATIENT, settings, soon};
use crate::dialects::{self, Asked, Exchange, events, exchange};

const TEXT: [&str; 2] = [
    include_str!("fixtures/anthropic/text.sse"),
    include_str!("fixtures/anthropic/text.json"),
];
const TOOLS: [&str; 2] = [
    include_str!("fixtures/anthropic/tools.sse"),
    include_str!("fixtures/anthropic/tools.json"),
];
const THINKING: [&str; 2] = [
    include_str!("fixtures/anthropic/thinking.sse"),
    include_str!("fixtures/anthropic/thinking.json"),
];
const REFUSAL: [&str; 2] = [
    include_str!("fixtures/anthropic/refusal.sse"),
    include_str!("fixtures/anthropic/refusal.json"),
];
const OLDER: &str = "claude-3-7-sonnet";
const NEWER: &str = "claude-opus-5";

fn anthropic(base_url: String) -> Provider {
    Provider::new(ProviderSettings {
        dialect: Dialect::Anthropic,
        auth: Auth::Header("x-api-key".to_owned()),
        ..settings(base_url, PATIENT)
    })
    .unwrap()
}

/// The same call, answered in events and whole.
async fn both_ways(asked: Asked, [stream, whole]: [&str; 2]) -> [Exchange; 2] {
    let streamed = exchange(anthropic, &asked, events(stream)).await;
    let whole = exchange(anthropic, &asked.whole(), dialects::json("200 OK", whole)).await;
    [streamed, whole]
}

/// What becomes of a stream of these events.
async fn streamed(body: &str) -> Exchange {
    exchange(anthropic, &Asked::of(NEWER), events(body)).await
}

#[tokio::test]
async fn text_both_ways() {
    for exchange in both_ways(Asked::of(OLDER), TEXT).await {
        let answer = exchange.answer();
        assert_eq!(answer.text, "Good morning!");
        assert_eq!(Value::Object(answer.message), json!({"role": "assistant"}));
        assert_eq!(exchange.outcome.reasons, ["stop"]);
        assert_eq!(
            *exchange.usage(),
            json!({"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17,
                "prompt_tokens_details": {"cached_tokens": 0}, "input_tokens": 11, "output_tokens": 6})
        );
        let said = exchange.said();
        assert_eq!(
            (&said["id"], &said["model"], &said["stop_reason"]),
            (
                &json!("msg_01Text"),
                &json!("claude-3-opus-latest"),
                &json!("end_turn")
            )
        );
        let unknown = &exchange.outcome.complete().metadata()["private_field"];
        assert_eq!(
            unknown.get(),
            r#"{"nested":{"values":[1,2.50]}}"#,
            "as it was written"
        );

        assert!(
            exchange.head.starts_with("POST /v1/messages HTTP/1.1\r\n"),
            "{}",
            exchange.head
        );
        for line in ["x-api-key: sk-test-0123456789", "anthropic-version: 2023-06-01"] {
            assert!(
                exchange.head.lines().any(|sent| sent == line),
                "{}",
                exchange.head
            );
        }
        assert!(!exchange.head.contains("authorization"), "{}", exchange.head);
        let stream = exchange.body["stream"] == true;
        assert_eq!(
            exchange.body,
            json!({"model": OLDER, "max_tokens": 4096, "stream": stream,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]})
        );
    }
}

#[tokio::test]
async fn parallel_calls_both_ways() {
    for exchange in both_ways(Asked::of(NEWER), TOOLS).await {
        let answer = exchange.answer();
        assert_eq!(answer.text, "I'll look at both.");
        assert_eq!(
            answer.message["tool_calls"],
            json!([
                {"index": 0, "id": "toolu_01A", "type": "function",
                    "function": {"name": "get_weather", "arguments": "{\"city\":\"Porto\"}"}},
                {"index": 1, "id": "toolu_01B", "type": "function",
                    "function": {"name": "get_time", "arguments": "{}"}}])
        );
        let unknown = &answer.message["content_blocks"][0];
        assert_eq!(
            (&unknown["type"], &unknown["tool_use_id"]),
            (&json!("web_search_tool_result"), &json!("srvtoolu_01"))
        );
        assert_eq!(exchange.outcome.reasons, ["tool_calls"]);
        let usage = exchange.usage();
        assert_eq!(
            (
                &usage["prompt_tokens"],
                &usage["prompt_tokens_details"],
                &usage["service_tier"]
            ),
            (&json!(400), &json!({"cached_tokens": 23}), &json!("standard"))
        );
    }
}

#[tokio::test]
async fn thinking_comes_out_and_goes_back() {
    for exchange in both_ways(
        Asked::of(NEWER).with(json!({"reasoning_effort": "low"})),
        THINKING,
    )
    .await
    {
        assert_eq!(
            exchange.body["thinking"],
            json!({"type": "adaptive", "display": "summarized"})
        );
        assert_eq!(exchange.body["output_config"], json!({"effort": "low"}));
        let answer = exchange.answer();
        assert_eq!(answer.text, "3 and 4.");
        assert_eq!(answer.message["reasoning_content"], "Twelve is three times four.");
        assert_eq!(
            exchange.usage()["completion_tokens_details"],
            json!({"reasoning_tokens": 30})
        );

        let mut message = answer.message;
        message.insert("content".to_owned(), Value::String(answer.text));
        let mut next = Asked::of(NEWER);
        next.messages =
            json!([{"role": "user", "content": "hi"}, message, {"role": "user", "content": "sure?"}]);
        let [sent, _] = both_ways(next, TEXT).await;
        assert_eq!(
            sent.body["messages"][1]["content"],
            json!([
                {"type": "thinking", "thinking": "Twelve is three times four.", "signature": "EqQBCgIYAhIM"},
                {"type": "redacted_thinking", "data": "EmwKAhgB"},
                {"type": "text", "text": "3 and 4."}])
        );
    }
}

#[tokio::test]
async fn a_tools_arguments_are_the_answer_where_no_schema_is_taken() {
    let format = json!({"response_format": {"type": "json_object"}});
    let answered = TOOLS.map(|answer| {
        answer
            .replace("get_weather", "json_answer")
            .replace("I'll look at both.", "")
    });
    for exchange in both_ways(
        Asked::of(OLDER).with(format),
        answered.each_ref().map(String::as_str),
    )
    .await
    {
        assert_eq!(exchange.body["tool_choice"]["name"], "json_answer");
        assert_eq!(exchange.answer().text, "{\"city\":\"Porto\"}");
        assert_eq!(exchange.outcome.reasons, ["stop"]);
    }
}

#[tokio::test]
async fn reasons_to_stop() {
    for exchange in both_ways(Asked::of(NEWER), REFUSAL).await {
        assert_eq!(exchange.answer().text, "");
        assert_eq!(exchange.outcome.reasons, ["content_filter"]);
        assert_eq!(exchange.said()["stop_details"]["category"], "cyber");
    }
    for (theirs, ours) in [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause_turn"),
    ] {
        let answered = TEXT.map(|answer| answer.replace("end_turn", theirs));
        for exchange in both_ways(Asked::of(NEWER), answered.each_ref().map(String::as_str)).await {
            assert_eq!(exchange.answer().text, "Good morning!");
            assert_eq!(exchange.outcome.reasons, [ours]);
        }
    }
}

#[tokio::test]
async fn refusals() {
    let overloaded = ErrorKind::Server {
        status: 529,
        retry_after: None,
    };
    for (status, name, kind) in [
        (
            "400 Bad Request",
            "invalid_request_error",
            ErrorKind::Rejected { status: 400 },
        ),
        (
            "401 Unauthorized",
            "authentication_error",
            ErrorKind::Unauthorized { status: 401 },
        ),
        (
            "402 Payment Required",
            "billing_error",
            ErrorKind::Rejected { status: 402 },
        ),
        (
            "403 Forbidden",
            "permission_error",
            ErrorKind::Unauthorized { status: 403 },
        ),
        (
            "413 Content Too Large",
            "request_too_large",
            ErrorKind::Rejected { status: 413 },
        ),
        ("529 Overloaded", "overloaded_error", overloaded),
    ] {
        let body =
            json!({"type": "error", "error": {"type": name, "message": "Not now."}, "request_id": "req_011"});
        let response = dialects::json(&format!("{status}\r\nrequest-id: req_011"), &body.to_string());
        let exchange = exchange(anthropic, &Asked::of(NEWER), response).await;
        let error = exchange.outcome.failure();
        assert_eq!(*error.kind(), kind, "{status}");
        let text = error.to_string();
        assert!(text.contains("Not now.") && text.contains("req_011"), "{text}");
    }
    let body =
        json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}}).to_string();
    let head = "429 Too Many Requests\r\nretry-after: 7\r\nanthropic-ratelimit-requests-remaining: 0";
    let exchange = exchange(anthropic, &Asked::of(NEWER), dialects::json(head, &body)).await;
    let error = exchange.outcome.failure();
    assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7));
    assert!(matches!(error.kind(), ErrorKind::RateLimited { .. }), "{error}");
    assert_eq!(error.headroom().requests.remaining, Some(0));
}

#[tokio::test]
async fn streams_that_break() {
    let stream = TEXT[0];
    let until = |event: &str| stream.split(event).next().unwrap().to_owned();
    let error = |name: &str| {
        let data = json!({"type": "error", "error": {"type": name, "message": "Overloaded"}});
        format!(
            "{}event: error\ndata: {data}\n\n",
            until("event: content_block_stop")
        )
    };
    let nameless = error("overloaded_error").replace("event: error\n", "");
    let server = |status| ErrorKind::Server {
        status,
        retry_after: None,
    };
    for (body, kind) in [
        (until("event: message_delta"), ErrorKind::Interrupted),
        (until("event: content_block_start"), ErrorKind::Interrupted),
        (until(": message_start"), ErrorKind::Interrupted),
        (
            format!(
                "{}event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n",
                until("event: message_delta")
            ),
            ErrorKind::Interrupted,
        ),
        (
            stream.replace(
                "{\"type\":\"text_delta\",\"text\":\"Good\"}",
                "{\"type\":\"text_delta\",\"text\":7}",
            ),
            ErrorKind::Malformed,
        ),
        (error("overloaded_error"), server(503)),
        (nameless, server(503)),
        (error("api_error"), server(500)),
        (
            error("rate_limit_error"),
            ErrorKind::RateLimited { retry_after: None },
        ),
        (
            error("invalid_request_error"),
            ErrorKind::Rejected { status: 400 },
        ),
        (error("billing_error"), ErrorKind::Rejected { status: 402 }),
    ] {
        let exchange = streamed(&body).await;
        assert_eq!(*exchange.outcome.failure().kind(), kind, "{body}");
    }
    // Why it stopped is said: only the farewell is missing.
    assert_eq!(
        streamed(&until("event: message_stop")).await.answer().text,
        "Good morning!"
    );
}

#[tokio::test]
async fn empty_answers_are_failures() {
    let nothing = TEXT.map(|answer| {
        let answer = answer.replace("Good morning!", "");
        ["Good", " morning", "!"].iter().fold(answer, |answer, said| {
            answer.replace(
                &format!("\"text_delta\",\"text\":\"{said}\""),
                "\"text_delta\",\"text\":\"\"",
            )
        })
    });
    for exchange in both_ways(Asked::of(NEWER), nothing.each_ref().map(String::as_str)).await {
        assert_eq!(*exchange.outcome.failure().kind(), ErrorKind::EmptyAnswer);
    }
}

#[tokio::test]
async fn an_answer_is_gone_on_with() {
    let begun = |beginning: &'static str| Asked {
        beginning: Some(beginning),
        ..Asked::of(OLDER)
    };
    for (beginning, sent, says) in [
        ("I say: ", "I say:", "Good morning!"),
        ("Good", "Good", " morning!"),
        ("Good  ", "Good", "morning!"),
    ] {
        let answered = TEXT.map(|answer| match says {
            "Good morning!" => answer.replace("\"Good", "\" Good"),
            _ => answer
                .replace("\"Good\"", "\"\"")
                .replace("\"Good morning!\"", "\" morning!\""),
        });
        for exchange in both_ways(begun(beginning), answered.each_ref().map(String::as_str)).await {
            assert_eq!(
                exchange.body["messages"][1],
                json!({"role": "assistant", "content": [{"type": "text", "text": sent}]})
            );
            assert_eq!(exchange.answer().text, says, "after {beginning:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_without_a_call() {
    // Nobody listens: a call that is sent cannot connect.
    let provider = anthropic("http://127.0.0.1:1/v1".to_owned());
    assert!(provider.can_continue(OLDER) && !provider.can_continue(NEWER));
    let begun = Asked {
        beginning: Some("Go"),
        ..Asked::of(NEWER)
    };
    for asked in [
        begun,
        Asked::of(NEWER).with(json!({"n": 2})),
        Asked::of(NEWER).with(json!({"logprobs": true})),
    ] {
        let outcome = soon(asked.of_provider(&provider)).await;
        let error = outcome.failure();
        assert_eq!(*error.kind(), ErrorKind::Rejected { status: 400 });
        assert!(!error.retryable());
    }
}
