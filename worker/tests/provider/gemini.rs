//! The Gemini dialect over a real socket, against recorded answers (`fixtures/gemini` says whose).

mod endings;

use std::time::Duration;

use serde_json::{Map, Value, json};
use shared::catalog::{Auth, Dialect, Quirks};
use worker::providers::{ChatPiece, ErrorKind, Provider, ProviderSettings};

use crate::calling::{PATIENT, settings, soon};
use crate::dialects::{self, Asked, Exchange, exchange};

const TEXT: &str = include_str!("fixtures/gemini/text.sse");
const TOOL: &str = include_str!("fixtures/gemini/tool.sse");
const THINKING: &str = include_str!("fixtures/gemini/thinking.sse");
const BLOCKED: &str = include_str!("fixtures/gemini/blocked.sse");
const USAGE: &str = include_str!("fixtures/gemini/usage.json");
const UNFINISHED: &str = include_str!("fixtures/gemini/unfinished.json");
const QUOTA: &str = include_str!("fixtures/gemini/quota.json");
const OLDER: &str = "gemini-2.5-flash";
const NEWER: &str = "gemini-3-pro-preview";

fn gemini(base_url: String) -> Provider {
    Provider::new(ProviderSettings {
        dialect: Dialect::Gemini,
        auth: Auth::Header("x-goog-api-key".to_owned()),
        ..settings(base_url, PATIENT)
    })
    .unwrap()
}

/// Events as Gemini sends them, which ends its lines with two letters.
fn events(text: &str) -> Vec<u8> {
    dialects::events(&text.replace('\n', "\r\n"))
}

/// The same answer as one: the last of its events, with all parts in it.
fn whole(text: &str) -> Vec<u8> {
    let mut parts = Vec::new();
    let mut last = Value::Null;
    for event in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        last = serde_json::from_str(event).unwrap();
        if let Some(new) = last.pointer("/candidates/0/content/parts") {
            parts.extend(new.as_array().unwrap().clone());
        }
    }
    if let Some(all) = last.pointer_mut("/candidates/0/content/parts") {
        *all = parts.into();
    }
    dialects::json("200 OK", &last.to_string())
}

/// The same call, answered in events and whole.
async fn both_ways(asked: Asked, recorded: &str) -> [Exchange; 2] {
    let streamed = exchange(gemini, &asked, events(recorded)).await;
    let whole = exchange(gemini, &asked.whole(), whole(recorded)).await;
    [streamed, whole]
}

/// What a call sends.
async fn sent(asked: &Asked) -> Value {
    let exchange = exchange(gemini, asked, events(TEXT)).await;
    exchange.outcome.complete();
    exchange.body
}

/// Why a call is refused before anything is sent.
async fn refused(asked: &Asked) -> String {
    let nobody = gemini("http://127.0.0.1:1/v1".to_owned());
    let outcome = soon(asked.of_provider(&nobody)).await;
    assert_eq!(*outcome.failure().kind(), ErrorKind::Rejected { status: 400 });
    outcome.failure().public_message()
}

/// What becomes of a stream of one event.
async fn streamed(event: Value) -> Exchange {
    exchange(gemini, &Asked::of(NEWER), events(&format!("data: {event}\n\n"))).await
}

fn candidate(parts: &Value, reason: &str) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": reason, "index": 0}]})
}

/// What stood beside the deltas, added up.
fn beside(exchange: &Exchange) -> Map<String, Value> {
    let mut all = Map::new();
    for piece in &exchange.outcome.pieces {
        if let ChatPiece::Delta { beside, .. } = piece {
            all.extend(beside.clone());
        }
    }
    all
}

#[tokio::test]
async fn text_both_ways() {
    for exchange in both_ways(Asked::of(NEWER), TEXT).await {
        let answer = exchange.answer();
        assert_eq!(
            answer.text,
            "There are **3** \"r\"s in strawberry.\n\nst**r**awbe**rr**y"
        );
        assert_eq!(Value::Object(answer.message), json!({"role": "assistant"}));
        assert_eq!(exchange.outcome.reasons, ["stop"]);
        let signature = &beside(&exchange)["extra_content"]["google"]["thought_signature"];
        assert!(signature.as_str().unwrap().starts_with("EqsFCqgF"));
        let usage = exchange.usage();
        assert_eq!(
            (
                &usage["prompt_tokens"],
                &usage["completion_tokens"],
                &usage["total_tokens"]
            ),
            (&json!(9), &json!(208), &json!(217)),
            "thoughts are generated too"
        );
        assert_eq!(
            usage["completion_tokens_details"],
            json!({"reasoning_tokens": 185})
        );
        assert_eq!(usage["candidatesTokenCount"], 23, "Gemini's own beside");
        let said = exchange.said();
        assert_eq!(
            (&said["id"], &said["model"], &said["finishReason"]),
            (
                &json!("bH6LaZW8Fp_3nsEPqtaSwQ4"),
                &json!("gemini-3-pro-preview"),
                &json!("STOP")
            )
        );
        assert_eq!(
            exchange.body,
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
        );
        assert!(
            exchange
                .head
                .lines()
                .any(|line| line == "x-goog-api-key: sk-test-0123456789"),
            "{}",
            exchange.head
        );
    }
}

#[tokio::test]
async fn addresses() {
    for (model, stream, address) in [
        (
            NEWER,
            true,
            "/v1/models/gemini-3-pro-preview:streamGenerateContent?alt=sse",
        ),
        (
            "models/gemini-2.5-pro",
            false,
            "/v1/models/gemini-2.5-pro:generateContent",
        ),
        ("tunedModels/mine", false, "/v1/tunedModels/mine:generateContent"),
    ] {
        let mut asked = Asked::of(model);
        asked.stream = stream;
        let response = if stream { events(TEXT) } else { whole(TEXT) };
        let exchange = exchange(gemini, &asked, response).await;
        exchange.outcome.complete();
        assert!(
            exchange.head.starts_with(&format!("POST {address} HTTP/1.1\r\n")),
            "{}",
            exchange.head
        );
    }
}

#[tokio::test]
async fn thoughts_are_told_from_the_answer() {
    for exchange in both_ways(
        Asked::of(OLDER).with(json!({"reasoning_effort": "low"})),
        THINKING,
    )
    .await
    {
        let answer = exchange.answer();
        assert!(
            answer.text.starts_with("Here is a step-by-step guide"),
            "{}",
            answer.text
        );
        assert!(answer.text.ends_with("Stay alert and stay safe"));
        let thoughts = answer.message["reasoning_content"].as_str().unwrap();
        assert!(thoughts.starts_with("**Defining the Goal**") && thoughts.contains("**Refining the Steps**"));
        assert_eq!(exchange.usage()["completion_tokens"], 387 + 759);
        assert_eq!(
            exchange.body["generationConfig"],
            json!({"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": true}})
        );
    }
}

#[tokio::test]
async fn a_tool_call_and_the_turn_after_it() {
    let tools = json!([{"type": "function", "function": {"name": "weather", "description": "now",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}}, "strict": true}},
        {"type": "function", "function": {"name": "time"}}, {"type": "google_search"}]);
    let params = json!({"tools": tools, "tool_choice": "required", "parallel_tool_calls": true});
    for exchange in both_ways(Asked::of(NEWER).with(params.clone()), TOOL).await {
        assert_eq!(
            exchange.body["tools"],
            json!([{"functionDeclarations": [
                {"name": "weather", "description": "now",
                    "parametersJsonSchema": {"type": "object", "properties": {"location": {"type": "string"}}}},
                {"name": "time"}]}, {"google_search": {}}])
        );
        assert_eq!(
            exchange.body["toolConfig"],
            json!({"functionCallingConfig": {"mode": "ANY"}})
        );
        let answer = exchange.answer();
        assert_eq!(exchange.outcome.reasons, ["tool_calls"]);
        let call = &answer.message["tool_calls"][0];
        assert_eq!(
            call["function"],
            json!({"name": "weather", "arguments": "{\"location\":\"San Francisco\"}"})
        );
        let id = call["id"].as_str().unwrap();
        let signature = call["extra_content"]["google"]["thought_signature"]
            .as_str()
            .unwrap();

        let mut asked = Asked::of(NEWER);
        let mut message = Value::Object(answer.message.clone());
        message["content"] = Value::Null;
        asked.messages = json!([{"role": "user", "content": "weather?"}, message,
            {"role": "tool", "tool_call_id": id, "content": "sunny"}]);
        assert_eq!(
            sent(&asked).await["contents"],
            json!([
                {"role": "user", "parts": [{"text": "weather?"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"location": "San Francisco"}},
                    "thoughtSignature": signature}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "sunny"}}}]}])
        );
    }
}

#[tokio::test]
async fn tools_called_in_parallel_are_answered_in_order() {
    let call = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": ""}});
    let mut asked = Asked::of(NEWER);
    asked.messages = json!([
        {"role": "system", "content": "a"},
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "so", "tool_calls": [call("1", "f"), call("2", "g")],
            "extra_content": {"google": {"thought_signature": "s"}}},
        {"role": "developer", "content": "b"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "{\"t\": 21}"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]},
        {"role": "tool", "tool_call_id": "1", "content": ""},
        {"role": "user", "content": "and?"}]);
    let sentinel = "skip_thought_signature_validator";
    let body = sent(&asked).await;
    assert_eq!(
        body["systemInstruction"],
        json!({"parts": [{"text": "a"}, {"text": "b"}]})
    );
    assert_eq!(
        Value::Array(body["contents"].as_array().unwrap()[1..].to_vec()),
        json!([
            {"role": "model", "parts": [{"text": "so", "thoughtSignature": "s"},
                {"functionCall": {"id": "1", "name": "f", "args": {}}, "thoughtSignature": sentinel},
                {"functionCall": {"id": "2", "name": "g", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "1", "name": "f", "response": {"output": ""}}},
                {"functionResponse": {"id": "2", "name": "g", "response": {"t": 21}}},
                {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]},
            {"role": "user", "parts": [{"text": "and?"}]}])
    );
    asked.model = OLDER;
    let body = sent(&asked).await;
    assert_eq!(
        body["contents"][1]["parts"][1].get("thoughtSignature"),
        None,
        "2.5 needs none"
    );
    asked.messages = json!([{"role": "tool", "tool_call_id": "9", "content": "x"}]);
    assert!(refused(&asked).await.contains("messages[0].tool_call_id"));
}

#[tokio::test]
async fn pictures_files_and_instructions_alone() {
    let mut asked = Asked::of(NEWER);
    asked.messages = json!([{"role": "user", "content": [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.PNG?w=1"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        {"type": "fileData", "fileData": {"fileUri": "https://youtu.be/x"}}]}]);
    assert_eq!(
        sent(&asked).await["contents"][0]["parts"],
        json!([{"text": "see"}, {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/"}},
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x.test/a.PNG?w=1"}},
            {"fileData": {"fileUri": "https://x.test/a"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
            {"fileData": {"fileUri": "https://youtu.be/x"}}])
    );
    asked.messages = json!([{"role": "system", "content": "be brief"}]);
    let body = sent(&asked).await;
    assert_eq!(
        body,
        json!({"contents": [{"role": "user", "parts": [{"text": "be brief"}]}]})
    );
}

#[tokio::test]
async fn parameters_in_their_places() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let params = json!({"temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "max_completion_tokens": 99,
        "stop": ["x", "y"], "presence_penalty": 0.1, "frequency_penalty": 0.2, "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        "user": "u", "metadata": {"a": "b"}, "store": true, "logit_bias": {}, "logprobs": false,
        "safetySettings": [{"category": "c"}], "generationConfig": {"topK": 1, "mediaResolution": "m"},
        "model": "other", "stream": true});
    assert_eq!(
        sent(&Asked::of(NEWER).with(params)).await,
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 40, "seed": 7, "maxOutputTokens": 99,
                "stopSequences": ["x", "y"], "presencePenalty": 0.1, "frequencyPenalty": 0.2,
                "thinkingConfig": {"thinkingLevel": "high", "includeThoughts": true},
                "responseMimeType": "application/json", "responseJsonSchema": schema, "mediaResolution": "m"},
            "safetySettings": [{"category": "c"}]})
    );
    for (model, effort, config) in [
        (NEWER, "none", json!({"thinkingLevel": "minimal"})),
        (OLDER, "none", json!({"thinkingBudget": 0})),
        (
            OLDER,
            "xhigh",
            json!({"thinkingBudget": 24576, "includeThoughts": true}),
        ),
        ("gemini-2.0-flash", "high", Value::Null),
    ] {
        let body = sent(&Asked::of(model).with(json!({"reasoning_effort": effort}))).await;
        assert_eq!(
            body["generationConfig"]["thinkingConfig"], config,
            "{model} {effort}"
        );
    }
    let object = Asked::of(NEWER).with(json!({"response_format": {"type": "json_object"}, "stop": "x"}));
    assert_eq!(
        sent(&object).await["generationConfig"],
        json!({"responseMimeType": "application/json", "stopSequences": ["x"]})
    );
    let named = json!({"tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}});
    assert_eq!(
        sent(&Asked::of(NEWER).with(named.clone())).await["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}})
    );
    for (choice, config) in [
        ("none", json!({"functionCallingConfig": {"mode": "NONE"}})),
        ("auto", Value::Null),
    ] {
        let mut params = named.clone();
        params["tool_choice"] = json!(choice);
        assert_eq!(
            sent(&Asked::of(NEWER).with(params)).await["toolConfig"],
            config,
            "{choice}"
        );
    }
}

#[tokio::test]
async fn what_a_server_refuses_is_left_out() {
    let picky = |base_url: String| {
        Provider::new(ProviderSettings {
            dialect: Dialect::Gemini,
            quirks: Quirks {
                dropped_params: ["top_k", "safetySettings"].map(str::to_owned).to_vec(),
                ..Quirks::default()
            },
            ..settings(base_url, PATIENT)
        })
        .unwrap()
    };
    let asked = Asked::of(NEWER).with(json!({"top_k": 3, "top_p": 0.5, "safetySettings": []}));
    let exchange = exchange(picky, &asked, events(TEXT)).await;
    assert_eq!(
        exchange.body,
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"topP": 0.5}})
    );
}

#[tokio::test]
async fn what_has_no_form_is_refused_by_name() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (params, named) in [
        (json!({"n": 2}), "n: "),
        (json!({"logprobs": true}), "logprobs: "),
        (json!({"logit_bias": {"50256": -100}}), "logit_bias: "),
        (json!({"modalities": ["text", "audio"]}), "modalities: "),
        (
            json!({"tools": tools, "parallel_tool_calls": false}),
            "parallel_tool_calls: ",
        ),
    ] {
        let said = refused(&Asked::of(NEWER).with(params)).await;
        assert!(said.contains(named), "{said}");
    }
}

#[tokio::test]
async fn an_answer_may_be_gone_on_with() {
    let mut asked = Asked::of(OLDER);
    asked.beginning = Some("Once upon ");
    assert_eq!(
        sent(&asked).await["contents"],
        json!([{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "Once upon "}]}])
    );
    asked.model = "gemma-4";
    assert!(refused(&asked).await.contains("beginning"));
}

#[tokio::test]
async fn a_refused_prompt_is_an_answer_without_text() {
    for exchange in both_ways(Asked::of(NEWER), BLOCKED).await {
        assert_eq!(exchange.answer().text, "");
        assert_eq!(exchange.outcome.reasons, ["content_filter"]);
        assert_eq!(
            exchange.said()["promptFeedback"],
            json!({"blockReason": "PROHIBITED_CONTENT"})
        );
        assert_eq!(exchange.usage()["prompt_tokens"], 9);
    }
}

#[tokio::test]
async fn every_token_is_counted_once() {
    let exchange = exchange(gemini, &Asked::of(OLDER).whole(), dialects::json("200 OK", USAGE)).await;
    let usage = exchange.usage();
    assert_eq!(
        (
            usage["prompt_tokens"].as_u64(),
            usage["completion_tokens"].as_u64()
        ),
        (Some(82), Some(60))
    );
    assert_eq!(usage["total_tokens"], 142);
    assert_eq!(usage["prompt_tokens_details"], json!({"cached_tokens": 3}));
    assert_eq!(usage["futureUsageField"], "preserve-me");
    assert_eq!(exchange.outcome.usage.as_ref().unwrap().input_tokens, 82);
}
