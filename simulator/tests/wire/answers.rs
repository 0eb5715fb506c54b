//! Answers without faults: protocol, text, limits, options.

use serde_json::{Value, json};
use simulator::{MODELS, expected_text};

use crate::support::{PROMPT, Reply, SEED, body, client, send, simulator, stream, stream_with, whole};

#[tokio::test]
async fn a_stream_is_role_tokens_finish_usage_done() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(reply.header("x-request-id"), "req-sim-1");

    let chunks = reply.chunks();
    assert_eq!(chunks.len(), 1 + 10 + 1 + 1);
    assert_eq!(reply.events().last(), Some(&"[DONE]"));
    for chunk in &chunks {
        assert_eq!(chunk["id"], "chatcmpl-sim-1");
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["created"], chunks[0]["created"]);
        assert!(chunk["created"].as_u64().unwrap() > 1_700_000_000);
        assert_eq!(chunk["model"], "sim");
    }
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({ "role": "assistant", "content": "", "refusal": null })
    );
    for chunk in &chunks[1..11] {
        assert_eq!(chunk["choices"][0]["index"], 0);
        assert_eq!(chunk["choices"][0]["delta"].as_object().unwrap().len(), 1);
        assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null);
        let token = chunk["choices"][0]["delta"]["content"].as_str().unwrap();
        assert_eq!(token.trim_start().split(' ').count(), 1, "one token per chunk");
    }
    assert_eq!(
        chunks[11]["choices"][0],
        json!({
            "index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"
        })
    );
    for chunk in &chunks[..12] {
        assert_eq!(chunk.get("usage"), Some(&Value::Null));
    }
    assert_eq!(chunks[12]["choices"], json!([]));
    let usage = &chunks[12]["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!(6), &json!(10))
    );
    assert_eq!(usage["total_tokens"], 16);
    assert_eq!(reply.text(), expected_text(SEED, PROMPT, 10));
}

#[tokio::test]
async fn a_whole_answer_says_the_same_as_the_stream() {
    let simulator = simulator().await;
    let streamed = stream(&simulator, "sim").await;
    let reply = whole(&simulator, "sim").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let answer = reply.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["id"], "chatcmpl-sim-2");
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["content"], streamed.text());
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(vec![answer["usage"].clone()], streamed.usages());
}

#[tokio::test]
async fn usage_is_left_out_unless_asked_for() {
    let simulator = simulator().await;
    let reply = stream_with(&simulator, "sim", &json!({ "stream_options": null })).await;
    assert!(reply.chunks().iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(reply.chunks().len(), 12);
    assert!(reply.is_done());
}

#[tokio::test]
async fn limits_cut_and_say_so() {
    let simulator = simulator().await;
    for limits in [
        json!({ "max_tokens": 3 }),
        json!({ "max_completion_tokens": 3, "max_tokens": 5 }),
    ] {
        let reply = stream_with(&simulator, "sim", &limits).await;
        assert_eq!(reply.text(), expected_text(SEED, PROMPT, 3));
        assert_eq!(reply.finish_reasons(), ["length"]);
        assert_eq!(reply.usages()[0]["completion_tokens"], 3);

        let answer = Reply::read(send(&simulator, &body("sim", &limits)).await.unwrap())
            .await
            .json();
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            expected_text(SEED, PROMPT, 3)
        );
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
    }
    let reply = stream_with(&simulator, "sim", &json!({ "max_tokens": 10 })).await;
    assert_eq!(
        reply.finish_reasons(),
        ["stop"],
        "a limit that is only met cuts nothing"
    );
}

#[tokio::test]
async fn length_and_seed_come_from_the_script_and_the_name_is_echoed() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim-fast:tokens=33,seed=5").await;
    assert_eq!(reply.text(), expected_text(5, PROMPT, 33));
    assert_eq!(reply.chunks()[0]["model"], "sim-fast:tokens=33,seed=5");
    let reply = stream(&simulator, "sim:tokens=0").await;
    assert_eq!(
        (reply.text(), reply.finish_reasons()),
        (String::new(), vec!["stop".to_owned()])
    );
}

#[tokio::test]
async fn a_long_answer_without_pace_arrives_in_full() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim-fast:tokens=20000").await;
    assert_eq!(reply.text(), expected_text(SEED, PROMPT, 20_000));
    assert!(reply.is_done());
}

#[tokio::test]
async fn the_header_wins_and_makes_any_model_acceptable() {
    let simulator = simulator().await;
    for (model, header, tokens) in [
        ("sim:tokens=5,fault=500", "tokens=4,fault=no_usage", 4),
        ("gpt-x", "tokens=2", 2),
    ] {
        let response = client()
            .post(format!("{}/chat/completions", simulator.base_url()))
            .header("x-simulator", header)
            .json(&body(model, &json!({ "stream": true })))
            .send()
            .await
            .unwrap();
        let reply = Reply::read(response).await;
        assert_eq!(reply.text(), expected_text(SEED, PROMPT, tokens));
        assert_eq!(reply.chunks()[0]["model"], model);
    }
}

#[tokio::test]
async fn delays_hold_the_answer_back() {
    let simulator = simulator().await;
    let mut held = Vec::new();
    for (model, streams) in [
        ("sim:first=1440m", true),
        ("sim:first=1440m", false),
        ("sim:pace=1440m", false),
        ("sim:pace=1440m", true),
    ] {
        let request = client()
            .post(format!("{}/chat/completions", simulator.base_url()))
            .json(&body(model, &json!({ "stream": streams })));
        held.push(tokio::spawn(async move {
            let response = request.send().await.ok()?;
            let reply = Reply::read(response).await;
            assert!(reply.error.is_some(), "held until the simulator was stopped");
            Some(String::from_utf8(reply.body).unwrap())
        }));
    }
    simulator
        .wait_for(|stats| stats.open == 4 && stats.open_streams == 2)
        .await;
    assert!(
        stream(&simulator, "sim").await.is_done(),
        "others are served meanwhile"
    );
    assert_eq!(simulator.stats().open, 4);
    simulator.stop().await.unwrap();

    let mut texts = Vec::new();
    for task in held {
        texts.push(task.await.unwrap());
    }
    assert_eq!(
        texts[0].as_deref(),
        Some(""),
        "a head, then nothing before the first token"
    );
    assert_eq!(
        texts[1..3],
        [None, None],
        "a whole answer has not even a head before it is due"
    );
    let begun = texts[3].as_deref().unwrap();
    assert!(
        begun.contains("\"content\":\"About\""),
        "the first token does not wait for the pace"
    );
    assert!(!begun.contains("How"), "the second does");
}

#[tokio::test]
async fn unknown_fields_are_added_on_request() {
    let simulator = simulator().await;
    let reply = stream(&simulator, "sim:unknown=1").await;
    for chunk in reply.chunks().iter().filter(|chunk| chunk["usage"].is_null()) {
        assert_eq!(chunk["x_vendor"], json!({ "price": 1.5, "note": null }));
    }
    assert!(
        reply.events()[3].contains("\"price\":1.50"),
        "spelt so that only a pass-through keeps it"
    );
    assert_eq!(
        reply.chunks()[3]["choices"][0]["delta"]["reasoning_content"],
        "hm"
    );
    assert_eq!(reply.text(), expected_text(SEED, PROMPT, 10));

    let answer = whole(&simulator, "sim:unknown=1").await.json();
    assert_eq!(answer["choices"][0]["message"]["reasoning_content"], "hm");
    assert_eq!(answer["x_vendor"]["note"], Value::Null);
}

#[tokio::test]
async fn a_tool_call_comes_in_pieces() {
    let simulator = simulator().await;
    let tools = json!({ "tools": [{ "type": "function", "function": { "name": "weather", "parameters": {} } }],
        "messages": [{ "role": "user", "content": "say \"a\\b\" now" }] });
    let reply = stream_with(&simulator, "sim:tools=1", &tools).await;
    assert_eq!(reply.finish_reasons(), ["tool_calls"]);
    let chunks = reply.chunks();
    let call = &chunks[0]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!((&call["index"], &call["type"]), (&json!(0), &json!("function")));
    assert_eq!(call["function"], json!({ "name": "weather", "arguments": "" }));
    assert_eq!(call["id"], "call-sim-1");
    let arguments: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    let parsed: Value = serde_json::from_str(&arguments).unwrap();
    assert_eq!(parsed["query"], expected_text(SEED, "say \"a\\b\" now", 8));

    let answer = Reply::read(send(&simulator, &body("sim:tools=1", &tools)).await.unwrap())
        .await
        .json();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({ "name": "weather", "arguments": arguments })
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");

    let reply = stream_with(&simulator, "sim:tools=1", &json!({ "max_tokens": 1 })).await;
    assert_eq!(reply.finish_reasons(), ["length"]);
}

#[tokio::test]
async fn parts_of_a_message_count_as_its_text() {
    let simulator = simulator().await;
    let messages = json!([
        { "role": "user", "content": [{ "type": "text", "text": PROMPT }, { "type": "image_url", "image_url": {} }] }
    ]);
    let reply = stream_with(&simulator, "sim", &json!({ "messages": messages })).await;
    assert_eq!(reply.text(), expected_text(SEED, PROMPT, 10));
}

#[tokio::test]
async fn models_are_listed() {
    let simulator = simulator().await;
    let reply = Reply::read(
        client()
            .get(format!("{}/models", simulator.base_url()))
            .send()
            .await
            .unwrap(),
    )
    .await;
    let ids: Vec<Value> = reply.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(ids, MODELS);
}
