//! The Bedrock dialect over a real socket, against recorded answers (`fixtures/bedrock` says whose), whose framing and
//! checksums are AWS's own, and against messages framed here (`messages`).

mod endings;
mod messages;
mod requests;

use serde_json::{Value, json};
use shared::catalog::Dialect;
use worker::providers::{ErrorKind, Provider, ProviderSettings};

use self::messages::{event, exception, last, stop, text};
use crate::calling::{PATIENT, settings, soon};
use crate::dialects::{self, Asked, Exchange, exchange};

const TEXT: &[u8] = include_bytes!("fixtures/bedrock/text.eventstream");
const TOOL: &[u8] = include_bytes!("fixtures/bedrock/tool.eventstream");
const THINKING: &[u8] = include_bytes!("fixtures/bedrock/thinking.eventstream");
const TOOL_WHOLE: &str = include_str!("fixtures/bedrock/tool.json");
const CACHED: &str = include_str!("fixtures/bedrock/cached.json");
const THROTTLED: &str = include_str!("fixtures/bedrock/throttled.json");
const NOVA: &str = "us.amazon.nova-micro-v1:0";
const OLDER: &str = "us.anthropic.claude-3-7-sonnet-20250219-v1:0";
const NEWER: &str = "us.anthropic.claude-opus-4-7-v1";

fn bedrock(base_url: String) -> Provider {
    Provider::new(ProviderSettings {
        dialect: Dialect::Bedrock,
        ..settings(base_url, PATIENT)
    })
    .unwrap()
}

/// A response that streams these messages.
fn stream(messages: &[u8]) -> Vec<u8> {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n\
        x-amzn-requestid: req-7\r\nconnection: close\r\n\r\n";
    [head, messages].concat()
}

/// What becomes of a stream of these messages.
async fn streamed(asked: &Asked, messages: &[Vec<u8>]) -> Exchange {
    exchange(bedrock, asked, stream(&messages.concat())).await
}

async fn whole(asked: Asked, body: &str) -> Exchange {
    exchange(bedrock, &asked.whole(), dialects::json("200 OK", body)).await
}

/// What a call sends.
async fn sent(asked: &Asked) -> Value {
    let exchange = exchange(bedrock, asked, stream(TEXT)).await;
    exchange.outcome.complete();
    exchange.body
}

/// Why a call is refused before anything is sent.
async fn refused(asked: &Asked) -> String {
    let nobody = bedrock("http://127.0.0.1:1".to_owned());
    let outcome = soon(asked.of_provider(&nobody)).await;
    assert_eq!(*outcome.failure().kind(), ErrorKind::Rejected { status: 400 });
    outcome.failure().public_message()
}

#[tokio::test]
async fn a_recorded_stream_of_text() {
    let exchange = exchange(bedrock, &Asked::of(NOVA), stream(TEXT)).await;
    let answer = exchange.answer();
    assert_eq!(answer.text, "The capital of France is Paris.");
    assert_eq!(Value::Object(answer.message), json!({"role": "assistant"}));
    assert_eq!(exchange.outcome.reasons, ["stop"]);
    assert_eq!(
        *exchange.usage(),
        json!({"prompt_tokens": 13, "completion_tokens": 82, "total_tokens": 95,
            "prompt_tokens_details": {"cached_tokens": 0},
            "inputTokens": 13, "outputTokens": 82, "totalTokens": 95, "serverToolUsage": {}})
    );
    assert_eq!(
        exchange.said(),
        json!({"metrics": {"latencyMs": 391}, "stopReason": "end_turn"})
    );
    assert_eq!(exchange.outcome.complete().request_id(), Some("req-7"));

    assert_eq!(
        exchange.body,
        json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]})
    );
    let head = &exchange.head;
    assert!(
        head.starts_with("POST /v1/model/us.amazon.nova-micro-v1%3A0/converse-stream HTTP/1.1\r\n"),
        "{head}"
    );
    for line in [
        "authorization: Bearer sk-test-0123456789",
        "accept: application/vnd.amazon.eventstream",
    ] {
        assert!(head.lines().any(|sent| sent == line), "{head}");
    }
}

#[tokio::test]
async fn a_profile_in_the_address() {
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-6";
    let exchange = whole(Asked::of(arn), CACHED).await;
    let address = "POST /v1/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-6/converse ";
    assert!(exchange.head.starts_with(address), "{}", exchange.head);
    assert_eq!(exchange.answer().text, "21");
    let usage = exchange.usage();
    assert_eq!(
        (&usage["prompt_tokens"], &usage["total_tokens"]),
        (&json!(1324), &json!(1329))
    );
    assert_eq!(usage["prompt_tokens_details"], json!({"cached_tokens": 1322}));
}

#[tokio::test]
async fn a_recorded_tool_call() {
    let tools = json!([{"type": "function", "function": {"name": "get_capital", "description": "d", "strict": true,
        "parameters": {"type": "object", "properties": {"country": {"type": "string"}}}}},
        {"type": "function", "function": {"name": "now"}}, {"type": "cachePoint", "cachePoint": {"type": "default"}}]);
    let asked = Asked::of(NOVA).with(json!({"tools": tools, "tool_choice": "required"}));
    let exchange = exchange(bedrock, &asked, stream(TOOL)).await;
    let answer = exchange.answer();
    assert_eq!(answer.text, "<thinking>\n");
    assert_eq!(exchange.outcome.reasons, ["tool_calls"]);
    assert_eq!(
        answer.message["tool_calls"],
        json!([{"index": 0, "id": "tooluse_QjQX34XORLu0wJVplWWHGQ", "type": "function",
            "function": {"name": "get_capital", "arguments": "{\"country\":\"France\"}"}}])
    );
    assert_eq!(
        exchange.body["toolConfig"],
        json!({"tools": [
            {"toolSpec": {"name": "get_capital", "description": "d", "strict": true, "inputSchema": {"json":
                {"type": "object", "properties": {"country": {"type": "string"}}}}}},
            {"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
            {"cachePoint": {"type": "default"}}], "toolChoice": {"any": {}}})
    );
}

#[tokio::test]
async fn thinking_and_the_turn_after_it() {
    let signed = "ErcBCkgICxABGAIiQFX7K5soRl8+TpP81l9aqf9CeeHb";
    let exchange = whole(
        Asked::of(OLDER).with(json!({"reasoning_effort": "medium"})),
        TOOL_WHOLE,
    )
    .await;
    assert_eq!(
        exchange.body["additionalModelRequestFields"],
        json!({"thinking": {"type": "enabled", "budget_tokens": 2048}})
    );
    assert_eq!(
        exchange.body["inferenceConfig"],
        json!({"maxTokens": 4096}),
        "a budget is part of it"
    );
    let answer = exchange.answer();
    assert_eq!(exchange.outcome.reasons, ["tool_calls"]);
    let call = &answer.message["tool_calls"][0];
    assert_eq!(
        call["function"],
        json!({"name": "get_user_country", "arguments": "{}"})
    );
    let thought = &answer.message["thinking_blocks"][0];
    assert_eq!(thought["thinking"], answer.message["reasoning_content"]);
    assert!(thought["signature"].as_str().unwrap().starts_with(signed));

    let mut asked = Asked::of(OLDER).with(json!({"reasoning_effort": "medium", "max_tokens": 10_000}));
    let mut message = Value::Object(answer.message.clone());
    message["content"] = answer.text.clone().into();
    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "Mexico"});
    asked.messages = json!([{"role": "user", "content": "hi"}, message, result]);
    let body = sent(&asked).await;
    let content = &body["messages"][1]["content"];
    let reasoning = json!({"text": answer.message["reasoning_content"], "signature": thought["signature"]});
    assert_eq!(
        content[0],
        json!({"reasoningContent": {"reasoningText": reasoning}})
    );
    assert_eq!(content[1], json!({"text": answer.text}));
    assert_eq!(
        content[2],
        json!({"toolUse": {"toolUseId": "tooluse_4Lo0VS-FT5yev_-skOCQdw", "name": "get_user_country", "input": {}}})
    );
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": [{"toolResult": {"toolUseId": "tooluse_4Lo0VS-FT5yev_-skOCQdw",
            "content": [{"text": "Mexico"}]}}]})
    );
    assert_eq!(
        body["additionalModelRequestFields"]["thinking"],
        json!({"type": "enabled", "budget_tokens": 5000})
    );
    // Without its thinking the turn cannot be gone on with in thought.
    asked.messages[1]
        .as_object_mut()
        .unwrap()
        .remove("thinking_blocks");
    let body = sent(&asked).await;
    assert_eq!(body.get("additionalModelRequestFields"), None);
    asked.model = NOVA;
    asked.messages[1]["thinking_blocks"] = answer.message["thinking_blocks"].clone();
    assert!(
        sent(&asked).await["messages"][1]["content"][0]
            .get("text")
            .is_some(),
        "another's thinking stays away"
    );
}

#[tokio::test]
async fn a_recorded_stream_of_thinking() {
    let asked = Asked::of(NEWER).with(json!({"reasoning_effort": "high", "temperature": 1, "top_k": 3}));
    let exchange = exchange(bedrock, &asked, stream(THINKING)).await;
    let fields = &exchange.body["additionalModelRequestFields"];
    assert_eq!(
        (&fields["thinking"]["type"], &fields["output_config"]),
        (&json!("adaptive"), &json!({"effort": "high"}))
    );
    assert_eq!(exchange.body.get("inferenceConfig"), None, "it takes no sampling");
    let answer = exchange.answer();
    let thought = "The human has just said \"Hello\" to me.";
    assert_eq!(
        answer.text,
        "Hello! How are you doing today? Is there anything I can help you with?"
    );
    assert_eq!(answer.message["reasoning_content"], thought);
    let block = &answer.message["thinking_blocks"][0];
    assert_eq!(
        (&block["index"], &block["type"], &block["thinking"]),
        (&json!(0), &json!("thinking"), &json!(thought))
    );
    assert!(
        block["signature"]
            .as_str()
            .unwrap()
            .starts_with("EvYCCkgICxABGAIqQH+vdAorxvHnWTPEdc8BK/")
    );
}

#[tokio::test]
async fn encrypted_thinking_and_calls_in_parallel() {
    let delta = |index: u64, delta: Value| {
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": index, "delta": delta}),
        )
    };
    let start = |index: u64, id: &str, name: &str| {
        let used = json!({"toolUse": {"toolUseId": id, "name": name}});
        event(
            "contentBlockStart",
            &json!({"contentBlockIndex": index, "start": used}),
        )
    };
    let end = |index: u64| event("contentBlockStop", &json!({"contentBlockIndex": index}));
    let exchange = streamed(
        &Asked::of(OLDER),
        &[
            event("messageStart", &json!({"role": "assistant"})),
            delta(0, json!({"reasoningContent": {"redactedContent": "RXFw"}})),
            end(0),
            delta(1, json!({"reasoningContent": {"text": "hm"}})),
            delta(1, json!({"reasoningContent": {"signature": "s"}})),
            end(1),
            start(2, "a", "f"),
            start(3, "b", "g"),
            delta(3, json!({"toolUse": {"input": "{\"x\":"}})),
            delta(2, json!({"toolUse": {"input": ""}})),
            delta(3, json!({"toolUse": {"input": "1}"}})),
            end(2),
            end(3),
            delta(4, json!({"citation": {"title": "t"}})),
            event("aNewOne", &json!({"x": 1})),
            stop("tool_use"),
            last(),
        ],
    )
    .await;
    let answer = exchange.answer();
    assert_eq!(
        answer.message["thinking_blocks"],
        json!([{"index": 0, "type": "redacted_thinking", "data": "RXFw"},
            {"index": 1, "type": "thinking", "thinking": "hm", "signature": "s"}])
    );
    let call = |index: u64, id: &str, name: &str, arguments: &str| json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    assert_eq!(
        answer.message["tool_calls"],
        json!([call(0, "a", "f", "{}"), call(1, "b", "g", "{\"x\":1}")])
    );
    assert_eq!(
        answer.message["content_blocks"],
        json!([{"index": 0, "citation": {"title": "t"}}])
    );
}

#[tokio::test]
async fn an_answer_may_be_gone_on_with() {
    let mut asked = Asked::of(OLDER);
    asked.beginning = Some("Once, \n");
    let exchange = streamed(
        &asked,
        &[text("\n"), text(" there was"), stop("end_turn"), last()],
    )
    .await;
    assert_eq!(
        exchange.body["messages"][1],
        json!({"role": "assistant", "content": [{"text": "Once,"}]})
    );
    assert_eq!(
        exchange.answer().text,
        "\n there was",
        "other white space than was kept back"
    );
    let exchange = streamed(&asked, &[text(" "), text("\nthere"), stop("end_turn"), last()]).await;
    assert_eq!(exchange.answer().text, "there", "what was said is not said again");
    for model in [NEWER, NOVA] {
        asked.model = model;
        assert!(refused(&asked).await.contains("beginning"), "{model}");
    }
}
