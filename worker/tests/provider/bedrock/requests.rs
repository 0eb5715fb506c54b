//! What goes to Bedrock: conversations, parameters and schemas in their places.

use super::*;

#[tokio::test]
async fn conversations() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}});
    let used = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {"x": 1}}});
    let mut asked = Asked::of(NOVA);
    asked.messages = json!([
        {"role": "system", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "text", "text": " "},
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,eA=="}},
            {"type": "cachePoint", "cachePoint": {"type": "default"}}]},
        {"role": "assistant", "content": "", "tool_calls": [call("1"), call("functions.f:2")]},
        {"role": "developer", "content": "b"},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "functions.f:2", "content": ""},
        {"role": "user", "content": "and?"}]);
    let body = sent(&asked).await;
    assert_eq!(body["system"], json!([{"text": "a"}, {"text": "b"}]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "see"},
                {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}},
                {"document": {"format": "pdf", "name": "a-pdf", "source": {"bytes": "JVBE"}}},
                {"document": {"format": "txt", "name": "document-2", "source": {"bytes": "eA=="}}},
                {"cachePoint": {"type": "default"}}]},
            {"role": "assistant", "content": [used("1"), used("functions_f_2")]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "1", "content": [{"text": "one"}]}},
                {"toolResult": {"toolUseId": "functions_f_2", "content": []}},
                {"text": "and?"}]}])
    );
    asked.messages = json!([{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]);
    let body = sent(&asked).await;
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": [{"text": "b"}]}])
    );
    assert_eq!(body["system"], json!([{"text": "a"}]));
    for (url, named) in [
        ("https://x.test/a.png", "image_url.url must be a data: URL"),
        ("data:image/tiff;base64,AA", "image/tiff"),
    ] {
        asked.messages =
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
        let said = refused(&asked).await;
        assert!(said.contains("messages[0]") && said.contains(named), "{said}");
    }
}

#[tokio::test]
async fn parameters_in_their_places() {
    let params = json!({"temperature": 1.5, "top_p": 0.9, "top_k": 20, "max_completion_tokens": 99, "stop": "x",
        "seed": 1, "user": "u", "presence_penalty": 1, "guardrailConfig": {"guardrailIdentifier": "g"}, "x_own": [1],
        "additionalModelRequestFields": {"inferenceConfig": {"a": 1}}, "requestMetadata": {"k": "v"}});
    assert_eq!(
        sent(&Asked::of(NOVA).with(params.clone())).await,
        json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"maxTokens": 99, "temperature": 1.0, "topP": 0.9, "stopSequences": ["x"]},
            "additionalModelRequestFields": {"x_own": [1], "inferenceConfig": {"a": 1, "topK": 20}},
            "guardrailConfig": {"guardrailIdentifier": "g"}, "requestMetadata": {"k": "v"}})
    );
    let body = sent(&Asked::of("us.anthropic.claude-sonnet-4-5-v1:0").with(params)).await;
    assert_eq!(
        body["inferenceConfig"],
        json!({"maxTokens": 99, "temperature": 1.0, "stopSequences": ["x"]}),
        "one way to sample"
    );
    assert_eq!(body["additionalModelRequestFields"]["top_k"], 20);
    for (model, effort, fields) in [
        (
            "amazon.nova-2-lite-v1:0",
            "minimal",
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ),
        (
            "amazon.nova-2-lite-v1:0",
            "none",
            json!({"reasoningConfig": {"type": "disabled"}}),
        ),
        (
            "openai.gpt-oss-120b-1:0",
            "high",
            json!({"reasoning_effort": "high"}),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            "xhigh",
            json!({"reasoning_config": "high"}),
        ),
        (NOVA, "high", Value::Null),
    ] {
        let body = sent(&Asked::of(model).with(json!({"reasoning_effort": effort}))).await;
        assert_eq!(body["additionalModelRequestFields"], fields, "{model} {effort}");
    }
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (choice, written) in [
        (json!("auto"), Value::Null),
        (
            json!({"type": "function", "function": {"name": "f"}}),
            json!({"tool": {"name": "f"}}),
        ),
    ] {
        let body = sent(&Asked::of(NOVA).with(json!({"tools": tools, "tool_choice": choice}))).await;
        assert_eq!(body["toolConfig"]["toolChoice"], written);
    }
    let body = sent(&Asked::of(NOVA).with(json!({"tools": tools, "tool_choice": "none"}))).await;
    assert_eq!(body.get("toolConfig"), None);
    let one = json!({"tools": tools, "parallel_tool_calls": false});
    let body = sent(&Asked::of(NEWER).with(one.clone())).await;
    assert_eq!(
        body["additionalModelRequestFields"]["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert!(
        refused(&Asked::of(NOVA).with(one))
            .await
            .contains("parallel_tool_calls: ")
    );
    for (params, named) in [
        (json!({"n": 2}), "n: "),
        (json!({"logit_bias": {"1": 2}}), "logit_bias: "),
    ] {
        assert!(refused(&Asked::of(NOVA).with(params)).await.contains(named));
    }
}

#[tokio::test]
async fn answers_that_are_json() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let by_schema = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}});
    let body = sent(&Asked::of("us.anthropic.claude-sonnet-4-6").with(by_schema.clone())).await;
    let format = &body["outputConfig"]["textFormat"];
    assert_eq!(
        (&format["type"], &format["structure"]["jsonSchema"]["name"]),
        (&json!("json_schema"), &json!("place"))
    );
    let written: Value =
        serde_json::from_str(format["structure"]["jsonSchema"]["schema"].as_str().unwrap()).unwrap();
    assert_eq!(written["properties"], schema["properties"]);

    let asked = Asked::of(NOVA).with(by_schema);
    let used = json!({"toolUse": {"toolUseId": "a", "name": "json_answer"}});
    let messages = [
        event(
            "contentBlockStart",
            &json!({"contentBlockIndex": 0, "start": used}),
        ),
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"city\":"}}}),
        ),
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "\"Paris\"}"}}}),
        ),
        event("contentBlockStop", &json!({"contentBlockIndex": 0})),
        stop("tool_use"),
        last(),
    ];
    let exchange = streamed(&asked, &messages).await;
    assert_eq!(
        exchange.body["toolConfig"]["toolChoice"],
        json!({"tool": {"name": "json_answer"}})
    );
    assert_eq!(
        exchange.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"],
        schema
    );
    let answer = exchange.answer();
    assert_eq!(
        (answer.text.as_str(), answer.message.get("tool_calls")),
        ("{\"city\":\"Paris\"}", None)
    );
    assert_eq!(exchange.outcome.reasons, ["stop"]);
    let whole_answer = json!({"output": {"message": {"role": "assistant", "content": [
        {"toolUse": {"toolUseId": "a", "name": "json_answer", "input": {"city": "Paris"}}}]}}, "stopReason": "tool_use"});
    assert_eq!(
        whole(asked, &whole_answer.to_string()).await.answer().text,
        "{\"city\":\"Paris\"}"
    );

    let object = json!({"response_format": {"type": "json_object"}});
    let body = sent(&Asked::of("qwen.qwen3-32b-v1:0").with(object)).await;
    assert!(
        body["system"][0]["text"]
            .as_str()
            .unwrap()
            .contains("JSON object")
    );
}
