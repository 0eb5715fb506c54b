//! Why Azure's content filter refused a request. Its message says only that it did; the categories stand beside it.

use serde_json::Value;

/// The categories a prompt was refused for, as `jailbreak, violence (high)`; none when a refusal's body says nothing
/// of them. They stand in `error.innererror.content_filter_result` or, in other versions of the API,
/// `error.inner_error.content_filter_results`. Source: "Content filtering" in Microsoft's documentation.
pub(super) fn filtered(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error")?;
    let inner = error.get("innererror").or_else(|| error.get("inner_error"))?;
    let results = inner
        .get("content_filter_result")
        .or_else(|| inner.get("content_filter_results"))?
        .as_object()?;
    let categories: Vec<String> = results
        .iter()
        .filter(|(_, result)| is_filtered(result))
        .map(
            |(name, result)| match result.get("severity").and_then(Value::as_str) {
                Some(severity) => format!("{name} ({severity})"),
                None => name.clone(),
            },
        )
        .collect();
    (!categories.is_empty()).then(|| categories.join(", "))
}

/// One filter's verdict, or those of several lists.
fn is_filtered(result: &Value) -> bool {
    match result {
        Value::Array(lists) => lists.iter().any(is_filtered),
        result => result.get("filtered") == Some(&Value::Bool(true)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_categories_that_filtered_are_named() {
        let results = json!({
            "custom_blocklists": [{"filtered": false, "id": "a"}, {"filtered": true, "id": "b"}],
            "hate": {"filtered": true, "severity": "high"},
            "jailbreak": {"detected": true, "filtered": true},
            "self_harm": {"filtered": false, "severity": "safe"},
        });
        let named = "custom_blocklists, hate (high), jailbreak";
        for (inner, name) in [
            ("innererror", "content_filter_result"),
            ("inner_error", "content_filter_results"),
        ] {
            let inner_error = json!({"code": "ResponsibleAIPolicyViolation", name: results});
            let body =
                json!({"error": {"code": "content_filter", "message": "filtered", inner: inner_error}});
            assert_eq!(
                filtered(body.to_string().as_bytes()).as_deref(),
                Some(named),
                "{inner}"
            );
        }
        let silent = [
            json!({"error": {"code": "DeploymentNotFound", "innererror": {"code": "DeploymentNotFound"}}}),
            json!({"error": {"innererror": {"content_filter_result": {"hate": {"filtered": false}}}}}),
            json!({"error": "no"}),
        ];
        for body in silent {
            assert_eq!(filtered(body.to_string().as_bytes()), None, "{body}");
        }
    }
}
