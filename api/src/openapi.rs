//! The OpenAPI 3.1 document. Operations and bodies describe themselves where they are written; here is what they have
//! in common: who may come in, which problems any of them may answer, and the words around it.

use std::fmt::Write as _;

use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Content, OpenApi, Ref, Server};
use utoipa_axum::router::OpenApiRouter;

use crate::problem::{self, Code, ProblemBody};
use crate::routes;

const INTRODUCTION: &str = "\
Every piece of work is a **run**: submit a prompt, and it is committed before you get its id. Whatever happens to it \
is written to its **log**; every way of watching - a WebSocket, server-sent events, pages of JSON - reads that one \
log, live or a month later, byte for byte the same.

Each event has a **cursor**. Keep the latest one, and go on from there after a broken connection, at any server: \
nothing is repeated and nothing is missing. The one rewind is announced: `attempt.started` with `void_after` takes \
back the output after that cursor.

Whatever goes wrong is answered as a problem document (RFC 9457) with a stable `code`. Every answer names \
its request in `x-request-id`; send your own to have it used.
";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Model Control Plane", description = INTRODUCTION, license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    components(schemas(ProblemBody)),
    tags(
        (name = "runs", description = "Submit work, watch it, cancel it."),
        (name = "admin", description = "The state of the whole installation. Takes an admin's API key."),
        (name = "operations", description = "For orchestrators and monitoring."),
    ),
)]
struct Frame;

/// Problems that any operation behind the gate may answer: the status, the name of the response, and what is said.
const ANYWHERE: [(&str, &str, &str); 4] = [
    (
        "401",
        "Unauthorized",
        "`unauthorized`: a valid API key is needed.",
    ),
    (
        "403",
        "Forbidden",
        "`admin_required`, or `origin_not_allowed` where no API keys are set.",
    ),
    ("500", "Internal", "`internal`: a defect of this server."),
    (
        "503",
        "Unavailable",
        "`ledger_unavailable`, `overloaded` or `draining`. Come back after `Retry-After`.",
    ),
];

/// The whole document, from the operations themselves. Needs nothing to be running.
fn document() -> OpenApi {
    let mut document = OpenApiRouter::with_openapi(Frame::openapi())
        .merge(routes::router())
        .into_openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.servers = Some(vec![Server::new("/")]);
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        // Those open to everybody say so themselves.
        if operation.security.is_none() {
            for (status, name, _) in ANYWHERE {
                let shared = || Ref::from_response_name(name).into();
                operation
                    .responses
                    .responses
                    .entry(status.to_owned())
                    .or_insert_with(shared);
            }
        }
    }
    let problems = TagBuilder::new()
        .name("problems")
        .description(Some(problems()))
        .build();
    document.tags.get_or_insert_default().push(problems);
    let components = document.components.get_or_insert_default();
    for (_, name, description) in ANYWHERE {
        components
            .responses
            .insert(name.to_owned(), refusal(description).into());
    }
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let header = ApiKeyValue::with_description("x-api-key", "The same key in a header of its own.");
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(header)));
    let either = ["bearer", "api_key"].map(|scheme| SecurityRequirement::new(scheme, [""; 0]));
    // Without keys this machine is let in as it is.
    document.security = Some(
        either
            .into_iter()
            .chain([SecurityRequirement::default()])
            .collect(),
    );
    document
}

/// The OpenAPI 3.1 document as indented JSON, the same text each time. It is what `/openapi.json` serves.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "the document is made of strings and maps with string keys: it always serialises"
)]
pub fn openapi_json() -> String {
    let mut json = document().to_pretty_json().expect("plain data serialises");
    json.push('\n');
    json
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

fn refusal(description: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    Response::builder()
        .description(description)
        .content(problem::MEDIA_TYPE, body)
        .build()
}

/// Every code as a row of a Markdown table. It stands in a tag without operations: ReDoc makes a chapter of it, and
/// Swagger UI does not put it before everything else.
fn problems() -> String {
    let mut table = String::from("| code | status | means |\n|---|---|---|\n");
    for code in Code::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} |",
            code.as_str(),
            code.status().as_u16(),
            code.title()
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn json() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    #[test]
    fn every_operation_is_described() {
        let json = json();
        assert_eq!(json["openapi"], "3.1.0");
        let mut found: Vec<String> = Vec::new();
        for (path, item) in json["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(
                    operation["summary"].is_string(),
                    "{method} {path} says what it does"
                );
                assert!(operation["tags"][0].is_string(), "{method} {path} has its place");
                found.push(format!("{method} {path}"));
            }
        }
        assert_eq!(
            found,
            [
                "get /health",
                "get /health/ready",
                "get /healthz",
                "get /mcp/v1/admin/metrics",
                "get /mcp/v1/admin/providers",
                "post /mcp/v1/cancel/{id}",
                "post /mcp/v1/request",
                "get /mcp/v1/request/{id}",
                "get /mcp/v1/request/{id}/events",
                "get /mcp/v1/request/{id}/result",
                "get /mcp/v1/requests",
                "get /mcp/v1/stream/{id}",
                "get /metrics",
                "get /readyz",
            ]
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let json = json();
        let mut found = Vec::new();
        references(&json, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(json.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_code_is_explained_and_every_problem_has_the_one_form() {
        let json = json();
        let tags = json["tags"].as_array().unwrap();
        let words = tags.iter().find(|tag| tag["name"] == "problems").unwrap()["description"]
            .as_str()
            .unwrap();
        assert!(
            Code::ALL
                .iter()
                .all(|code| words.contains(&format!("| `{}` |", code.as_str())))
        );
        for (path, item) in json["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let open = operation["security"] == serde_json::json!([{}]);
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let response = match response["$ref"].as_str() {
                        Some(reference) => json.pointer(&reference[1..]).unwrap(),
                        None => response,
                    };
                    if status.as_str() >= "400" && !open {
                        let body = &response["content"]["application/problem+json"]["schema"]["$ref"];
                        assert_eq!(
                            body, "#/components/schemas/ProblemBody",
                            "{method} {path} {status}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn only_probes_are_open_to_everybody() {
        let json = json();
        for (path, item) in json["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let open = operation["security"] == serde_json::json!([{}]);
                assert_eq!(open, path.starts_with("/health") || path == "/readyz", "{path}");
            }
        }
    }

    #[test]
    fn the_text_is_the_same_each_time() {
        assert_eq!(openapi_json(), openapi_json());
    }
}
