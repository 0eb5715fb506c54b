//! Answers that are complete: text, calls of tools, and why they ended.

use serde_json::{Value, json};
use shared::catalog::Dialect;

use crate::asking::{Outcome, ask, ask_with};
use crate::peer::{DIALECTS, PATIENT, Peer};

/// The answers of a model in each dialect, in pieces and whole.
async fn in_all_ways(model: &str) -> Vec<(Dialect, bool, Outcome)> {
    let peer = Peer::start().await;
    let mut outcomes = Vec::new();
    for dialect in DIALECTS {
        let provider = peer.provider(dialect, PATIENT);
        for stream in [true, false] {
            let outcome = ask(&provider, model, stream).await.complete();
            outcomes.push((dialect, stream, outcome));
        }
    }
    outcomes
}

/// What was counted, except where the peer counts nothing.
fn counted(dialect: Dialect, stream: bool, outcome: &Outcome) {
    if dialect == Dialect::OpenAi && stream {
        assert_eq!(outcome.usage, None, "the peer counts now: expect it here");
        return;
    }
    let usage = outcome.usage.as_ref().expect("what was counted");
    assert!(
        usage.input_tokens > 0 && usage.output_tokens > 0,
        "{dialect:?} {usage:?}"
    );
    assert_eq!(
        usage.raw["total_tokens"],
        usage.input_tokens + usage.output_tokens,
        "{dialect:?} {usage:?}"
    );
}

#[tokio::test]
async fn text() {
    for (dialect, stream, outcome) in in_all_ways("words").await {
        assert_eq!(
            outcome.answer.text, "Grüße, 世界! \"Quoted\", and\nin two lines 🎉.",
            "{dialect:?}"
        );
        assert_eq!(outcome.reasons, ["stop"], "{dialect:?}");
        counted(dialect, stream, &outcome);
    }
}

#[tokio::test]
async fn calls_of_tools() {
    for (dialect, stream, outcome) in in_all_ways("tools").await {
        assert_eq!(outcome.reasons, ["tool_calls"], "{dialect:?}");
        assert_eq!(outcome.answer.text, "", "{dialect:?}");
        counted(dialect, stream, &outcome);
        let calls = outcome.answer.message["tool_calls"].as_array().unwrap();
        let called: Vec<(&str, Value)> = calls
            .iter()
            .map(|call| {
                assert_eq!(call["type"], "function", "{dialect:?}");
                let arguments = call["function"]["arguments"].as_str().unwrap();
                let name = call["function"]["name"].as_str().unwrap();
                (name, serde_json::from_str(arguments).unwrap())
            })
            .collect();
        let expected = [
            ("get_weather", json!({"city": "São Paulo", "days": 3})),
            ("get_time", json!({})),
        ];
        assert_eq!(called, expected, "{dialect:?}");
        let ids: Vec<&str> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
        assert!(
            ids.iter().all(|id| !id.is_empty()) && ids[0] != ids[1],
            "{dialect:?} {ids:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_at_its_bound() {
    for (dialect, _, outcome) in in_all_ways("bound").await {
        assert_eq!(outcome.answer.text, "Too long", "{dialect:?}");
        assert_eq!(outcome.reasons, ["length"], "{dialect:?}");
    }
}

#[tokio::test]
async fn a_refusal_to_answer() {
    let peer = Peer::start().await;
    let refused = async |dialect| {
        let provider = peer.provider(dialect, PATIENT);
        ask(&provider, "refusal", false).await.complete()
    };
    // OpenAI's is a field of its own beside an ordinary end.
    let outcome = refused(Dialect::OpenAi).await;
    assert_eq!(outcome.reasons, ["stop"]);
    assert_eq!(outcome.answer.message["refusal"], "I cannot help with that.");
    let outcome = refused(Dialect::Anthropic).await;
    assert_eq!(outcome.reasons, ["content_filter"]);
    assert_eq!(outcome.answer.text, "I cannot help with that.");
    // Gemini's is of the prompt: there is no answer.
    let outcome = refused(Dialect::Gemini).await;
    assert_eq!(outcome.reasons, ["content_filter"]);
    assert_eq!(outcome.answer.text, "");
}

#[tokio::test]
async fn a_long_conversation_is_taken() {
    let peer = Peer::start().await;
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "get_weather", "arguments": "{\"city\":\"Porto\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
        {"role": "user", "content": [{"type": "text", "text": "And tomorrow?"}]},
    ]);
    let params = json!({"tool_choice": "auto", "tools": [{"type": "function", "function": {
        "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]});
    for dialect in DIALECTS {
        let provider = peer.provider(dialect, PATIENT);
        for stream in [true, false] {
            let outcome = ask_with(&provider, "words", stream, &messages, &params).await;
            assert_eq!(outcome.complete().reasons, ["stop"], "{dialect:?}");
        }
    }
}
