//! Messages of a Bedrock stream, framed here: what no recording holds. Framing and checksums are those of AWS's
//! `application/vnd.amazon.eventstream`.

use serde_json::{Value, json};

/// One message, in AWS's framing.
fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut written = Vec::new();
    for (name, value) in headers {
        written.push(u8::try_from(name.len()).unwrap());
        written.extend(name.as_bytes());
        written.push(7);
        written.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        written.extend(value.as_bytes());
    }
    let total = u32::try_from(16 + written.len() + payload.len()).unwrap();
    let mut bytes = total.to_be_bytes().to_vec();
    bytes.extend(u32::try_from(written.len()).unwrap().to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend(written);
    bytes.extend(payload.as_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// An event of that name.
pub(super) fn event(name: &str, payload: &Value) -> Vec<u8> {
    message(
        &[(":event-type", name), (":message-type", "event")],
        &payload.to_string(),
    )
}

/// What Bedrock says instead of going on.
pub(super) fn exception(name: &str, payload: &str) -> Vec<u8> {
    message(
        &[(":exception-type", name), (":message-type", "exception")],
        payload,
    )
}

/// A piece of text in the first block.
pub(super) fn text(text: &str) -> Vec<u8> {
    event(
        "contentBlockDelta",
        &json!({"contentBlockIndex": 0, "delta": {"text": text}}),
    )
}

/// Why the answer ends.
pub(super) fn stop(reason: &str) -> Vec<u8> {
    event("messageStop", &json!({"stopReason": reason}))
}

/// The usage, after which nothing comes.
pub(super) fn last() -> Vec<u8> {
    event(
        "metadata",
        &json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
    )
}
