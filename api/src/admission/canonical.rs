//! What a request says, as bytes that do not depend on how it was written: spaces, the order of fields, and defaults
//! that were spelled out make no difference. Only ever hashed.

use serde_json::{Value, json};
use shared::domain::{Policy, UserHash};

use super::validate::ValidRequest;

/// The canonical form of a request.
pub(super) fn bytes(request: &ValidRequest, user: Option<&UserHash>) -> Vec<u8> {
    let spec = &request.spec;
    let metadata: Option<Value> = request
        .metadata
        .as_ref()
        .and_then(|text| serde_json::from_str(text.get()).ok());
    let mut said = json!({
        "model": spec.model,
        "messages": request.messages,
        "max_tokens": spec.max_tokens,
        "temperature": spec.temperature,
        "provider_hint": spec.provider_hint,
        "params": spec.params,
        "user": user,
        "task_type": request.task_type,
        "priority": request.priority,
        "deadline_ms": request.deadline.map(|deadline| deadline.as_millis() as u64),
        "metadata": metadata,
        "on_interruption": request.on_interruption,
    });
    // Added when they came to be, and only where they say something: a key that was used before an upgrade still fits.
    if spec.routing_policy != Policy::default() {
        said["routing_policy"] = spec.routing_policy.as_str().into();
    }
    if spec.prefer_local {
        said["prefer_local"] = true.into();
    }
    if !spec.fallbacks.is_empty() {
        said["fallbacks"] = spec.fallbacks.as_slice().into();
    }
    let mut bytes = Vec::new();
    write(&said, &mut bytes);
    bytes
}

fn write(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            into.push(b'{');
            for (name, value) in fields {
                into.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
                into.push(b':');
                write(value, into);
                into.push(b',');
            }
            into.push(b'}');
        }
        Value::Array(items) => {
            into.push(b'[');
            for item in items {
                write(item, into);
                into.push(b',');
            }
            into.push(b']');
        }
        scalar => into.extend_from_slice(scalar.to_string().as_bytes()),
    }
}
