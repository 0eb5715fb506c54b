//! The Azure OpenAI dialect: OpenAI's body, at Azure's addresses and with Azure's refusals. What Azure adds to an
//! answer (`prompt_filter_results`, `content_filter_results`, `content_filter_offsets`) passes through.
//!
//! Two generations of addresses, told apart by the base URL:
//! - `https://NAME.openai.azure.com/openai/v1`: `{base}/chat/completions`, the deployment named in the body;
//! - any other, `https://NAME.openai.azure.com`: `{base}/openai/deployments/{model}/chat/completions?api-version=...`.
//!
//! A run's model is the name of a deployment in both. Source: Microsoft's "Azure OpenAI REST API reference" and "Azure
//! OpenAI API version lifecycle".

mod refusal;

use std::time::Duration;

use reqwest::StatusCode;
use shared::catalog::Quirks;

use super::ChatCall;
use super::dialect::{Dialect, Outgoing, ReadAnswer};
use super::openai::answer::ChunkReader;
use super::openai::request;
use super::wire::{Endpoint, Fault};

const API_VERSION: &str = "api-version";
/// The last generally available version of the dated addresses. The settings' query may name another.
const LAST_DATED: &str = "2024-10-21";

/// An Azure OpenAI resource.
#[derive(Debug)]
pub(super) struct Azure {
    quirks: Quirks,
}

impl Azure {
    /// With the peculiarities of one resource.
    pub(super) fn new(quirks: Quirks) -> Self {
        Self { quirks }
    }
}

impl Dialect for Azure {
    fn request(&self, call: &ChatCall<'_>, endpoint: &Endpoint) -> Result<Outgoing, Fault> {
        let base = endpoint.base();
        let url = if base.path().trim_end_matches('/').ends_with("/openai/v1") {
            endpoint.below(["chat", "completions"])
        } else {
            let mut url = endpoint.below(["openai", "deployments", call.model, "chat", "completions"]);
            if base.query_pairs().all(|(name, _)| name != API_VERSION) {
                url.query_pairs_mut().append_pair(API_VERSION, LAST_DATED);
            }
            url
        };
        Ok(Outgoing {
            url,
            headers: Vec::new(),
            body: request::body(call, &self.quirks)?,
        })
    }

    fn reader(&self, _call: &ChatCall<'_>) -> Box<dyn ReadAnswer> {
        Box::new(ChunkReader)
    }

    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
        let fault = Fault::refused(status, retry_after, body);
        match refusal::filtered(body) {
            Some(categories) => fault.noting(&format!("filtered for {categories}")),
            None => fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use serde_json::value::RawValue;

    use super::*;

    fn address(base_url: &str, query: &[(&str, &str)], model: &str) -> String {
        let query: Vec<(String, String)> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let messages = RawValue::from_string("[]".to_owned()).unwrap();
        let call = ChatCall {
            model,
            messages: &messages,
            max_tokens: None,
            model_max_output: None,
            beginning: None,
            temperature: None,
            params: &Map::new(),
            stream: true,
            traceparent: None,
        };
        let endpoint = Endpoint::new(base_url, &query).unwrap();
        let outgoing = Azure::new(Quirks::default()).request(&call, &endpoint).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&outgoing.body).unwrap();
        assert_eq!(body["model"], model);
        outgoing.url.into()
    }

    #[test]
    fn both_generations_of_addresses() {
        let host = "https://acme.openai.azure.com";
        assert_eq!(
            address(&format!("{host}/openai/v1/"), &[], "gpt-4o"),
            format!("{host}/openai/v1/chat/completions")
        );
        assert_eq!(
            address(host, &[], "my gpt/4o"),
            format!("{host}/openai/deployments/my%20gpt%2F4o/chat/completions?api-version=2024-10-21")
        );
        assert_eq!(
            address(host, &[("api-version", "2025-04-01-preview")], "gpt-4o"),
            format!("{host}/openai/deployments/gpt-4o/chat/completions?api-version=2025-04-01-preview")
        );
        assert_eq!(
            address(
                &format!("{host}/openai/v1"),
                &[("api-version", "preview")],
                "gpt-4o"
            ),
            format!("{host}/openai/v1/chat/completions?api-version=preview")
        );
    }
}
