//! The Cohere dialect over a real socket, against answers in the form of Cohere's documentation (`fixtures/cohere`
//! says of which pages).

use serde_json::{Value, json};
use shared::catalog::Dialect;
use worker::providers::{ErrorKind, Provider, ProviderSettings};

use crate::calling::{PATIENT, settings, soon};
use crate::dialects::{self, Asked, Exchange, events, exchange};

const TEXT: [&str; 2] = [
    include_str!("fixtures/cohere/text.sse"),
    include_str!("fixtures/cohere/text.json"),
];
const TOOLS: [&str; 2] = [
    include_str!("fixtures/cohere/tools.sse"),
    include_str!("fixtures/cohere/tools.json"),
];
const MODEL: &str = "command-a-03-2025";

fn cohere(base_url: String) -> Provider {
    Provider::new(ProviderSettings {
        dialect: Dialect::Cohere,
        ..settings(base_url, PATIENT)
    })
    .unwrap()
}

/// The same call, answered in events and whole.
async fn both_ways(asked: Asked, [stream, whole]: [&str; 2]) -> [Exchange; 2] {
    let streamed = exchange(cohere, &asked, events(stream)).await;
    let whole = exchange(cohere, &asked.whole(), dialects::json("200 OK", whole)).await;
    [streamed, whole]
}

#[tokio::test]
async fn text_and_thinking_both_ways() {
    for exchange in both_ways(Asked::of(MODEL), TEXT).await {
        let answer = exchange.answer();
        assert_eq!(answer.text, "Good morning!");
        assert_eq!(answer.message["reasoning_content"], "They greet.");
        assert_eq!(answer.message["citations"][0]["sources"][0]["id"], "doc-1");
        assert_eq!(exchange.outcome.reasons, ["stop"]);
        let usage = exchange.usage();
        assert_eq!(
            (
                &usage["prompt_tokens"],
                &usage["completion_tokens"],
                &usage["prompt_tokens_details"]
            ),
            (&json!(3), &json!(6), &json!({"cached_tokens": 2}))
        );
        assert_eq!(usage["tokens"]["input_tokens"], 209.0);
        assert_eq!(exchange.said()["id"], "29f14a5a-11de-4cae-9800");

        assert!(
            exchange.head.starts_with("POST /v1/chat HTTP/1.1\r\n"),
            "{}",
            exchange.head
        );
        let key = "authorization: Bearer sk-test-0123456789";
        assert!(exchange.head.lines().any(|line| line == key), "{}", exchange.head);
        let stream = exchange.body["stream"] == true;
        assert_eq!(
            exchange.body,
            json!({"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
        );
    }
}

#[tokio::test]
async fn parallel_calls_come_out_and_go_back() {
    for exchange in both_ways(Asked::of(MODEL), TOOLS).await {
        let answer = exchange.answer();
        let call = |index: u64, id: &str, name: &str, arguments: &str| {
            json!({"index": index, "id": id, "type": "function",
                "function": {"name": name, "arguments": arguments}})
        };
        assert_eq!(
            answer.message["tool_calls"],
            json!([
                call(0, "get_weather_p1", "get_weather", "{\"city\":\"Porto\"}"),
                call(1, "get_time_q2", "get_time", "{}")
            ])
        );
        assert_eq!(exchange.outcome.reasons, ["tool_calls"]);

        let mut next = Asked::of(MODEL);
        next.messages = json!([{"role": "user", "content": "hi"}, answer.message,
            {"role": "tool", "tool_call_id": "get_weather_p1", "content": "rain"},
            {"role": "tool", "tool_call_id": "get_time_q2", "content": "noon"}]);
        let [sent, _] = both_ways(next, TEXT).await;
        assert_eq!(
            sent.body["messages"][1],
            json!({"role": "assistant", "tool_plan": "I will look at both.", "tool_calls": [
                {"id": "get_weather_p1", "type": "function",
                    "function": {"name": "get_weather", "arguments": "{\"city\":\"Porto\"}"}},
                {"id": "get_time_q2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]})
        );
        assert_eq!(
            sent.body["messages"][3],
            json!({"role": "tool", "tool_call_id": "get_time_q2", "content": "noon"})
        );
    }
}

#[tokio::test]
async fn reasons_to_stop() {
    let answered = |reason: &str| TEXT.map(|answer| answer.replace("COMPLETE", reason));
    for (theirs, ours) in [
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        ("TOMORROW", "TOMORROW"),
    ] {
        let answered = answered(theirs);
        for exchange in both_ways(Asked::of(MODEL), answered.each_ref().map(String::as_str)).await {
            assert_eq!(exchange.answer().text, "Good morning!");
            assert_eq!(exchange.outcome.reasons, [ours]);
        }
    }
    for (reason, status) in [("ERROR", 500), ("TIMEOUT", 504)] {
        let answered =
            answered(reason).map(|answer| answer.replace("\"error\":null", "\"error\":\"it broke\""));
        let [streamed, whole] = both_ways(Asked::of(MODEL), answered.each_ref().map(String::as_str)).await;
        let kind = ErrorKind::Server {
            status,
            retry_after: None,
        };
        assert_eq!(*streamed.outcome.failure().kind(), kind);
        assert!(streamed.outcome.failure().to_string().contains("it broke"));
        assert_eq!(*whole.outcome.failure().kind(), kind);
    }
}

#[tokio::test]
async fn refusals_and_breaks() {
    let body = json!({"id": "e-1", "message": "invalid request: too many tokens"}).to_string();
    for (status, kind) in [
        ("400 Bad Request", ErrorKind::Rejected { status: 400 }),
        ("401 Unauthorized", ErrorKind::Unauthorized { status: 401 }),
        ("422 Unprocessable Entity", ErrorKind::Rejected { status: 422 }),
        (
            "429 Too Many Requests",
            ErrorKind::RateLimited { retry_after: None },
        ),
        (
            "499 Request Cancelled",
            ErrorKind::Server {
                status: 499,
                retry_after: None,
            },
        ),
        (
            "503 Service Unavailable",
            ErrorKind::Server {
                status: 503,
                retry_after: None,
            },
        ),
    ] {
        let exchange = exchange(cohere, &Asked::of(MODEL), dialects::json(status, &body)).await;
        let error = exchange.outcome.failure();
        assert_eq!(*error.kind(), kind, "{status}");
        assert!(error.to_string().contains("too many tokens"), "{error}");
    }
    let until = |event: &str| TEXT[0].split(event).next().unwrap().to_owned();
    for (body, kind) in [
        (until("event: message-end"), ErrorKind::Interrupted),
        (until("event: content-start"), ErrorKind::Interrupted),
        (String::new(), ErrorKind::Interrupted),
        (
            format!("{}data: [DONE]\n\n", until("event: message-end")),
            ErrorKind::Interrupted,
        ),
        (
            TEXT[0].replace("{\"text\":\"Good\"}", "{\"text\":7}"),
            ErrorKind::Malformed,
        ),
        (
            TEXT[0]
                .replace("They ", "")
                .replace("greet.", "")
                .replace("\"Good\"}}", "\"\"}}")
                .replace(" morning!", "")
                .replace("citation-start", "citation-none"),
            ErrorKind::EmptyAnswer,
        ),
    ] {
        let exchange = exchange(cohere, &Asked::of(MODEL), events(&body)).await;
        assert_eq!(*exchange.outcome.failure().kind(), kind, "{body}");
    }
    let empty =
        json!({"id": "x", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": ""}});
    let whole = exchange(
        cohere,
        &Asked::of(MODEL).whole(),
        dialects::json("200 OK", &empty.to_string()),
    )
    .await;
    assert_eq!(*whole.outcome.failure().kind(), ErrorKind::EmptyAnswer);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_without_a_call() {
    // Nobody listens: a call that is sent cannot connect.
    let provider = cohere("http://127.0.0.1:1/v1".to_owned());
    assert!(!provider.can_continue(MODEL));
    let begun = Asked {
        beginning: Some("Go"),
        ..Asked::of(MODEL)
    };
    for asked in [
        begun,
        Asked::of(MODEL).with(json!({"n": 2})),
        Asked::of(MODEL).with(json!({"tools": [{"type": "web_search"}]})),
    ] {
        let outcome = soon(asked.of_provider(&provider)).await;
        let error = outcome.failure();
        assert_eq!(*error.kind(), ErrorKind::Rejected { status: 400 });
        assert!(
            !error.public_message().is_empty() && !error.retryable(),
            "{error}"
        );
    }
    let outcome = soon(Asked::of(MODEL).of_provider(&provider)).await;
    assert_eq!(
        *outcome.failure().kind(),
        ErrorKind::Connect,
        "what can be asked is sent"
    );
    let unknown: Value = json!({"safety_mode": "OFF"});
    let [sent, _] = both_ways(Asked::of(MODEL).with(unknown), TEXT).await;
    assert_eq!(sent.body["safety_mode"], "OFF");
}
