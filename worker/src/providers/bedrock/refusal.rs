//! What Bedrock's exceptions mean, as the refusal of a request or within a stream. Source: "Errors" of Converse and
//! the exceptions of `ConverseStreamOutput` in the Amazon Bedrock API reference.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::providers::ErrorKind;
use crate::providers::wire::Fault;

/// The status of `ModelErrorException` and `ModelStreamErrorException`.
const MODEL_ERROR: u16 = 424;

/// A refused request.
pub(super) fn refused(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
    // The model failed, not the request: the next try may go well.
    if status.as_u16() == MODEL_ERROR {
        let kind = ErrorKind::Server {
            status: MODEL_ERROR,
            retry_after,
        };
        let fault = Fault::new(kind, format!("status {status}"));
        return with_message(fault, body);
    }
    match capitalised(body) {
        Some(message) => Fault::refused(status, retry_after, message.to_string().as_bytes()),
        None => Fault::refused(status, retry_after, body),
    }
}

/// An exception in a stream, by its name there.
pub(super) fn exception(name: &[u8], payload: &[u8]) -> Fault {
    let server = |status| ErrorKind::Server {
        status,
        retry_after: None,
    };
    let kind = match name {
        b"throttlingException" => ErrorKind::RateLimited { retry_after: None },
        b"validationException" => ErrorKind::Rejected { status: 400 },
        b"accessDeniedException" => ErrorKind::Unauthorized { status: 403 },
        b"modelTimeoutException" => server(408),
        b"modelStreamErrorException" => server(MODEL_ERROR),
        b"internalServerException" => server(500),
        b"serviceUnavailableException" => server(503),
        _ => ErrorKind::Interrupted,
    };
    let name = String::from_utf8_lossy(name);
    with_message(
        Fault::new(kind, format!("it reported {name} in its answer")),
        payload,
    )
}

fn with_message(fault: Fault, body: &[u8]) -> Fault {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let message = said
        .as_ref()
        .and_then(|said| said.get("message").or_else(|| said.get("Message")))
        .and_then(Value::as_str)
        .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    if message.is_empty() {
        fault
    } else {
        fault.noting(&message)
    }
}

/// The message that AWS's front door writes with a capital letter, for all others to understand.
fn capitalised(body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let message = body.get("Message")?;
    Some(serde_json::json!({"message": message}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_found() {
        for (status, body, said) in [
            (403, r#"{"Message":"expired"}"#, "expired"),
            (400, r#"{"message":"no such model"}"#, "no such model"),
            (
                424,
                r#"{"message":"it failed","originalStatusCode":500}"#,
                "it failed",
            ),
            (424, "gone", "gone"),
        ] {
            let fault = refused(StatusCode::from_u16(status).unwrap(), None, body.as_bytes());
            assert_eq!(fault.quoted(), said, "{body}");
        }
        assert_eq!(
            exception(b"throttlingException", br#"{"message":"slow down"}"#).quoted(),
            "slow down"
        );
        assert_eq!(exception(b"x", b"").quoted(), "");
    }
}
