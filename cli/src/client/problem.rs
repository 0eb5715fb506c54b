//! What a server says when it refuses: an RFC 9457 problem document, or, from a proxy that stands before it, anything.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

/// A refusal. Every field but the status may be missing: not everything that answers is ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    #[serde(skip)]
    pub(crate) status: u16,
    /// Stable, for programs.
    pub(crate) code: Option<String>,
    /// For people, the same for every refusal of this code.
    title: Option<String>,
    /// For people, about this one.
    detail: Option<String>,
    /// The field of the request it is about.
    pub(crate) field: Option<String>,
    /// Of an answer about health: why the process cannot work.
    reasons: Vec<String>,
    /// What the server's log calls the request.
    pub(crate) request_id: Option<String>,
    /// Seconds after which another try makes sense.
    #[serde(skip)]
    pub(crate) retry_after: Option<u64>,
}

/// So much of a foreign body is shown.
const EXCERPT: usize = 200;

impl Problem {
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &str) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // Only an object can be ours; serde would also read a struct from a list.
        let object = body.trim_start().starts_with('{');
        let mut problem: Self = serde_json::from_str(body)
            .ok()
            .filter(|_| object)
            .unwrap_or_else(|| Self {
                detail: excerpt(body),
                ..Self::default()
            });
        problem.status = status;
        problem.retry_after = header(RETRY_AFTER.as_str()).and_then(|value| value.trim().parse().ok());
        problem.request_id = problem
            .request_id
            .or_else(|| header("x-request-id").map(str::to_owned));
        problem
    }

    /// Why, in one sentence.
    pub(crate) fn why(&self) -> String {
        let said = self
            .detail
            .as_deref()
            .or(self.title.as_deref())
            .filter(|text| !text.is_empty());
        match said {
            Some(said) => said.to_owned(),
            None if !self.reasons.is_empty() => self.reasons.join(", "),
            None => format!("HTTP status {}", self.status),
        }
    }
}

/// The beginning of a page that some proxy sent, in one line and without its tags.
fn excerpt(body: &str) -> Option<String> {
    let mut inside = false;
    let text: String = body
        .chars()
        .map(|c| {
            let was_inside = inside;
            inside = (inside || c == '<') && c != '>';
            if was_inside || inside { ' ' } else { c }
        })
        .collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then(|| text.chars().take(EXCERPT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let body = r#"{"type":"about:blank","title":"T","status":429,"detail":"D","code":"queue_full","field":"a.b",
            "request_id":"req_1","extension":1}"#;
        let problem = Problem::read(429, &headers, body);
        assert_eq!(
            (problem.status, problem.retry_after, problem.why().as_str()),
            (429, Some(7), "D")
        );
        assert_eq!(problem.code.as_deref(), Some("queue_full"));
        assert_eq!(
            (problem.field.as_deref(), problem.request_id.as_deref()),
            (Some("a.b"), Some("req_1"))
        );
    }

    #[test]
    fn what_is_not_ours_is_quoted() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", "req_2".parse().unwrap());
        let page = "<html><head><title>502</title></head>\n<body>Bad   gateway</body></html>";
        let problem = Problem::read(502, &headers, page);
        assert_eq!(problem.why(), "502 Bad gateway");
        assert_eq!(problem.request_id.as_deref(), Some("req_2"));
        assert_eq!(Problem::read(500, &HeaderMap::new(), "").why(), "HTTP status 500");
        assert_eq!(Problem::read(500, &HeaderMap::new(), "[1,2]").why(), "[1,2]");
        assert_eq!(Problem::read(500, &HeaderMap::new(), r#"{"code":7}"#).code, None);
    }
}
