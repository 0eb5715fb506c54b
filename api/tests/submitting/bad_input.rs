//! Everything that a submit may not say: a clear problem each, and nothing in the ledger.

use futures_util::stream;
use serde_json::{Value, json};

use crate::house::{Answer, House, MAX_BODY_BYTES, SUBMIT};

#[tokio::test]
async fn every_field_has_its_bounds() {
    let house = House::open().await;
    let prompt = |field: &str, value: Value| {
        let mut body = json!({ "prompt": "Hello" });
        body[field] = value;
        body
    };
    let long = |length: usize| Value::from("x".repeat(length));
    let wide: Value = (0..2_000)
        .map(|index| (format!("k{index}"), json!(index)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let cases = [
        (json!({}), "empty_prompt", "prompt"),
        (json!({ "prompt": "" }), "empty_prompt", "prompt"),
        (json!({ "prompt": " \n\t\u{3000}" }), "empty_prompt", "prompt"),
        (json!({ "prompt": null }), "empty_prompt", "prompt"),
        (json!({ "prompt": "a\0b" }), "nul_character", "prompt"),
        (json!({ "prompt": 7 }), "invalid_field", "prompt"),
        (json!({ "prompt": ["Hello"] }), "invalid_field", "prompt"),
        (
            prompt("messages", json!([{ "role": "user", "content": "Hello" }])),
            "invalid_field",
            "prompt",
        ),
        (prompt("promt", json!("typo")), "unknown_field", "promt"),
        (prompt("user_id", json!("")), "invalid_field", "user_id"),
        (prompt("user_id", long(257)), "invalid_field", "user_id"),
        (prompt("user_id", json!(7)), "invalid_field", "user_id"),
        (prompt("user_id", json!("a\0")), "nul_character", "user_id"),
        (
            prompt("task_type", json!("workflow")),
            "feature_not_available",
            "task_type",
        ),
        (prompt("task_type", json!("")), "invalid_field", "task_type"),
        (prompt("task_type", json!("Chat")), "invalid_field", "task_type"),
        (prompt("task_type", json!("a b")), "invalid_field", "task_type"),
        (prompt("task_type", long(65)), "invalid_field", "task_type"),
        (prompt("task_type", json!("\0")), "nul_character", "task_type"),
        (prompt("model", json!("")), "invalid_field", "model"),
        (prompt("model", json!("  ")), "invalid_field", "model"),
        (prompt("model", json!("a\nb")), "invalid_field", "model"),
        (prompt("model", long(257)), "invalid_field", "model"),
        (prompt("model", json!("a\0")), "nul_character", "model"),
        (prompt("priority", json!(-1)), "invalid_field", "priority"),
        (prompt("priority", json!(101)), "invalid_field", "priority"),
        (prompt("priority", json!(50.5)), "invalid_field", "priority"),
        (prompt("priority", json!("high")), "invalid_field", "priority"),
        (prompt("priority", json!(u64::MAX)), "invalid_field", "priority"),
        (prompt("priority", json!(1e300)), "invalid_field", "priority"),
        (
            prompt("provider_hint", json!("elsewhere")),
            "unknown_provider",
            "provider_hint",
        ),
        (
            prompt("provider_hint", json!(1)),
            "invalid_field",
            "provider_hint",
        ),
        (
            prompt("provider_hint", json!("")),
            "invalid_field",
            "provider_hint",
        ),
        (
            prompt("routing_policy", json!("best")),
            "invalid_field",
            "routing_policy",
        ),
        (
            prompt("prefer_local", json!("yes")),
            "invalid_field",
            "prefer_local",
        ),
        (prompt("fallbacks", json!("gpt-4o")), "invalid_field", "fallbacks"),
        (
            prompt("fallbacks", json!(["a", ""])),
            "invalid_field",
            "fallbacks[1]",
        ),
        (
            prompt("fallbacks", json!(["a\0"])),
            "nul_character",
            "fallbacks[0]",
        ),
        (
            prompt("fallbacks", json!(vec!["a"; 9])),
            "invalid_field",
            "fallbacks",
        ),
        (prompt("max_tokens", json!(0)), "invalid_field", "max_tokens"),
        (prompt("max_tokens", json!(-5)), "invalid_field", "max_tokens"),
        (
            prompt("max_tokens", json!(10_000_001)),
            "invalid_field",
            "max_tokens",
        ),
        (
            prompt("max_tokens", json!(i64::MAX)),
            "invalid_field",
            "max_tokens",
        ),
        (prompt("max_tokens", json!(1.5)), "invalid_field", "max_tokens"),
        (prompt("temperature", json!(-0.1)), "invalid_field", "temperature"),
        (prompt("temperature", json!(2.1)), "invalid_field", "temperature"),
        (
            prompt("temperature", json!(1e300)),
            "invalid_field",
            "temperature",
        ),
        (
            prompt("temperature", json!("warm")),
            "invalid_field",
            "temperature",
        ),
        (prompt("deadline_ms", json!(0)), "invalid_field", "deadline_ms"),
        (
            prompt("deadline_ms", json!(2_592_000_001_i64)),
            "invalid_field",
            "deadline_ms",
        ),
        (
            prompt("deadline_ms", json!(i64::MIN)),
            "invalid_field",
            "deadline_ms",
        ),
        (
            prompt("deadline_ms", json!("soon")),
            "invalid_field",
            "deadline_ms",
        ),
        (prompt("metadata", json!("text")), "invalid_field", "metadata"),
        (prompt("metadata", json!([])), "invalid_field", "metadata"),
        (
            prompt("metadata", json!({ "a": { "b": ["\0"] } })),
            "nul_character",
            "metadata.a.b[0]",
        ),
        (
            prompt("metadata", json!({ "a\0": 1 })),
            "nul_character",
            "metadata",
        ),
        (
            prompt("metadata", json!({ "text": "x".repeat(16 * 1024) })),
            "invalid_field",
            "metadata",
        ),
        (prompt("metadata", wide), "invalid_field", "metadata"),
        (
            json!({ "prompt": "x", "model": "gpt-4o", "on_interruption": "continue" }),
            "continue_not_supported",
            "on_interruption",
        ),
        (
            prompt("on_interruption", json!("retry")),
            "invalid_field",
            "on_interruption",
        ),
        (
            prompt("on_interruption", json!(true)),
            "invalid_field",
            "on_interruption",
        ),
        (prompt("params", json!([])), "invalid_field", "params"),
        (
            prompt("params", json!({ "model": "x" })),
            "reserved_param",
            "params.model",
        ),
        (
            prompt("params", json!({ "messages": [] })),
            "reserved_param",
            "params.messages",
        ),
        (
            prompt("params", json!({ "stream": 1 })),
            "invalid_field",
            "params.stream",
        ),
        (
            prompt("params", json!({ "stream_options": {} })),
            "reserved_param",
            "params.stream_options",
        ),
        (
            prompt("params", json!({ "max_tokens": 1 })),
            "reserved_param",
            "params.max_tokens",
        ),
        (
            prompt("params", json!({ "temperature": 1 })),
            "reserved_param",
            "params.temperature",
        ),
        (prompt("params", json!({ "n": 2 })), "reserved_param", "params.n"),
        (
            prompt("params", json!({ "n": "1" })),
            "reserved_param",
            "params.n",
        ),
        (
            prompt("params", json!({ "stop": ["\0"] })),
            "nul_character",
            "params.stop[0]",
        ),
        (
            prompt("context_ids", json!(["ctx_1"])),
            "feature_not_available",
            "context_ids",
        ),
        (
            prompt("context_ids", json!([])),
            "feature_not_available",
            "context_ids",
        ),
    ];
    for (body, code, field) in cases {
        let answer = house.submit(&body).await;
        assert_eq!(answer.problem(), (422, code, Some(field)), "{body}");
        assert_eq!(answer.body["instance"], SUBMIT);
    }
    assert_eq!(house.queued().await, 0);
    house.close().await;
}

#[tokio::test]
async fn messages_are_looked_into() {
    let house = House::open().await;
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let cases = [
        (json!([]), "empty_prompt", "messages"),
        (json!("Hello"), "invalid_field", "messages"),
        (
            json!({ "role": "user", "content": "Hello" }),
            "invalid_field",
            "messages",
        ),
        (json!(["Hello"]), "invalid_field", "messages[0]"),
        (
            json!([{ "content": "Hello" }]),
            "invalid_field",
            "messages[0].role",
        ),
        (
            json!([{ "role": "robot", "content": "Hello" }]),
            "invalid_field",
            "messages[0].role",
        ),
        (
            json!([{ "role": 1, "content": "Hello" }]),
            "invalid_field",
            "messages[0].role",
        ),
        (
            json!([{ "role": "user" }]),
            "invalid_field",
            "messages[0].content",
        ),
        (user(Value::Null), "invalid_field", "messages[0].content"),
        (user(json!(7)), "invalid_field", "messages[0].content"),
        (
            user(json!({ "text": "Hello" })),
            "invalid_field",
            "messages[0].content",
        ),
        (user(json!(["Hello"])), "invalid_field", "messages[0].content[0]"),
        (
            user(json!([{ "text": "Hello" }])),
            "invalid_field",
            "messages[0].content[0]",
        ),
        (user(json!([])), "empty_prompt", "messages"),
        (user(json!(" ")), "empty_prompt", "messages"),
        (user(json!("a\0b")), "nul_character", "messages[0].content"),
        (
            user(json!([{ "type": "text", "text": "\0" }])),
            "nul_character",
            "messages[0].content[0].text",
        ),
        (json!([{ "role": "assistant" }]), "empty_prompt", "messages"),
    ];
    for (messages, code, field) in cases {
        let answer = house.submit(&json!({ "messages": messages })).await;
        assert_eq!(answer.problem(), (422, code, Some(field)), "{messages}");
    }
    for role in ["system", "developer", "user", "assistant", "tool"] {
        house
            .submit(&json!({ "messages": [{ "role": role, "content": "Hello" }] }))
            .await
            .accepted();
    }
    let called = json!([
        { "role": "user", "content": "Weather?" },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function" }] },
        { "role": "tool", "tool_call_id": "c", "content": "" },
    ]);
    house.submit(&json!({ "messages": called })).await.accepted();
    assert_eq!(house.queued().await, 6);
    house.close().await;
}

#[tokio::test]
async fn what_is_not_json_is_told_so() {
    let house = House::open().await;
    let cases: [(Vec<u8>, &str); 12] = [
        (b"".to_vec(), "nothing"),
        (b"{".to_vec(), "cut off"),
        (b"{'prompt':'x'}".to_vec(), "single quotes"),
        (br#"{"prompt":"x"} {}"#.to_vec(), "two documents"),
        (br#"{"prompt":"\ud800"}"#.to_vec(), "a lone surrogate"),
        (
            br#"{"messages":[{"role":"user","content":"\udc00"}]}"#.to_vec(),
            "a lone surrogate in messages",
        ),
        (
            br#"{"prompt":"x","metadata":{"a":"\ud800"}}"#.to_vec(),
            "a lone surrogate in metadata",
        ),
        (
            br#"{"prompt":"x","params":{"a":"\ud800x"}}"#.to_vec(),
            "a lone surrogate in params",
        ),
        (b"{\"prompt\":\"\xff\xfe\"}".to_vec(), "not UTF-8"),
        (b"{\"prompt\":\"a\x00b\"}".to_vec(), "a raw NUL"),
        (
            br#"{"prompt":"x","temperature":1e999}"#.to_vec(),
            "a number beyond all bounds",
        ),
        (br#"{"prompt":"x","temperature":NaN}"#.to_vec(), "NaN"),
    ];
    for (body, what) in cases {
        let answer = house.submit_bytes(body).await;
        let (status, code, _) = answer.problem();
        assert_eq!((status, code), (400, "invalid_json"), "{what}");
    }
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
    for nested in [deep("[", "]"), deep(r#"{"a":"#, "}")] {
        for (body, field) in [
            (format!(r#"{{"messages":[{nested}]}}"#), Some("messages")),
            (
                format!(r#"{{"prompt":"x","metadata":{nested}}}"#),
                Some("metadata"),
            ),
            (format!(r#"{{"prompt":"x","params":{{"a":{nested}}}}}"#), None),
            (format!(r#"{{"prompt":"x","context_ids":{nested}}}"#), None),
        ] {
            let answer = house.submit_bytes(body).await;
            assert_eq!(answer.problem(), (400, "invalid_json", field), "too deep");
        }
    }
    let twice = house.submit_bytes(r#"{"prompt":"x","prompt":"y"}"#).await;
    assert_eq!((twice.problem().0, twice.problem().1), (422, "invalid_field"));
    let list = house.submit_bytes("[]").await;
    assert_eq!((list.problem().0, list.problem().1), (422, "invalid_field"));
    assert_eq!(house.queued().await, 0);
    house.close().await;
}

#[tokio::test]
async fn the_body_must_be_json_and_not_too_large() {
    let house = House::open().await;
    let send = async |content_type: Option<&str>, body: Vec<u8>| {
        let mut request = house.request("POST", SUBMIT).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    let body = br#"{"prompt":"Hello"}"#.to_vec();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/xml"),
    ] {
        let answer = send(content_type, body.clone()).await;
        assert_eq!(
            answer.problem(),
            (415, "unsupported_media_type", Some("content-type")),
            "{content_type:?}"
        );
    }
    send(Some("application/json; charset=utf-8"), body)
        .await
        .accepted();

    let sized = |size: usize| {
        format!(
            r#"{{"prompt":"{}"}}"#,
            "x".repeat(size - r#"{"prompt":""}"#.len())
        )
        .into_bytes()
    };
    send(Some("application/json"), sized(MAX_BODY_BYTES))
        .await
        .accepted();
    for size in [MAX_BODY_BYTES + 1, 2 * MAX_BODY_BYTES, 40 * MAX_BODY_BYTES] {
        let answer = send(Some("application/json"), sized(size)).await;
        assert_eq!(answer.problem(), (413, "body_too_large", None), "{size}");
    }
    // Without a declared length it is the bytes that count.
    let chunks = stream::iter((0..65).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let request = house
        .request("POST", SUBMIT)
        .header("content-type", "application/json");
    let answer = Answer::of(
        request
            .body(reqwest::Body::wrap_stream(chunks))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(answer.problem(), (413, "body_too_large", None));
    assert_eq!(house.queued().await, 2);
    house.close().await;
}

#[tokio::test]
async fn query_headers_paths_and_methods_are_checked() {
    let house = House::open().await;
    for (query, field) in [
        ("wait=-1", Some("wait")),
        ("wait=301", Some("wait")),
        ("wait=NaN", Some("wait")),
        ("wait=inf", Some("wait")),
        ("wait=soon", None),
        ("wiat=1", None),
    ] {
        let request = house
            .request("POST", &format!("{SUBMIT}?{query}"))
            .json(&json!({ "prompt": "Hello" }));
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.problem(), (400, "invalid_query", field), "{query}");
    }
    let long = "k".repeat(256);
    for key in [&b""[..], b"tab\there", b"caf\xc3\xa9", long.as_bytes()] {
        let request = house
            .request("POST", SUBMIT)
            .json(&json!({ "prompt": "Hello" }))
            .header("idempotency-key", key);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_idempotency_key", Some("idempotency-key")),
            "{key:?}"
        );
    }
    let request = house.request("POST", SUBMIT).json(&json!({ "prompt": "Hello" }));
    let request = request
        .header("idempotency-key", "one")
        .header("idempotency-key", "two");
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!(
        answer.problem(),
        (400, "invalid_idempotency_key", Some("idempotency-key"))
    );

    for id in [
        "run_",
        "run_xyz",
        "42",
        "wrk_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1",
        "%00",
        "run_0197A0C7BE6B7CC2A1B5D1E0D5D8F3A1",
    ] {
        for (method, path) in [
            ("GET", format!("/mcp/v1/request/{id}")),
            ("GET", format!("/mcp/v1/request/{id}/result")),
            ("POST", format!("/mcp/v1/cancel/{id}")),
        ] {
            let answer = Answer::of(house.request(method, &path).send().await.unwrap()).await;
            assert_eq!(
                answer.problem(),
                (400, "invalid_id", Some("id")),
                "{method} {path}"
            );
        }
    }
    assert_eq!(
        house.get("/mcp/v1/nothing").await.problem(),
        (404, "not_found", None)
    );
    let wrong_method = house.post("/mcp/v1/requests").await;
    assert_eq!(wrong_method.problem(), (405, "method_not_allowed", None));
    assert_eq!(wrong_method.header("allow"), Some("GET,HEAD"));
    assert_eq!(house.queued().await, 0);
    house.close().await;
}
