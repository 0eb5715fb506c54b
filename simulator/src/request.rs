//! The body of `POST /v1/chat/completions`, as far as the simulator heeds it.
//!
//! Fields it does not know are accepted: a provider that sends the simulator its newest parameter is not at fault.
//! Must never answer a request that a real provider would refuse for its shape: no messages, `max_tokens: 0`.

use std::borrow::Cow;

use serde::Deserialize;

use crate::refusal::Refusal;

/// A chat request. Limits and counts are in tokens.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatRequest {
    pub(crate) model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message; those without text (images, audio) count as nothing.
#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
}

impl ChatRequest {
    /// Reads and checks a body; the error names the field.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let json = &mut serde_json::Deserializer::from_slice(body);
        let request: Self = serde_path_to_error::deserialize(&mut *json).map_err(|error| {
            let path = error.path().to_string();
            let refusal = Refusal::invalid(format!("the request body is not valid: {}", error.inner()));
            if path == "." { refusal } else { refusal.about(path) }
        })?;
        json.end()
            .map_err(|error| Refusal::invalid(format!("the request body is not valid: {error}")))?;
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() {
            return Err(Refusal::invalid("messages must not be empty").about("messages"));
        }
        for (name, limit) in [
            ("max_tokens", self.max_tokens),
            ("max_completion_tokens", self.max_completion_tokens),
        ] {
            if limit == Some(0) {
                return Err(Refusal::invalid(format!("{name} must be at least 1")).about(name));
            }
        }
        if self.n.is_some_and(|n| n != 1) {
            return Err(Refusal::invalid("the simulator answers with one choice: n must be 1").about("n"));
        }
        Ok(())
    }

    /// Whether the answer is to be streamed.
    pub(crate) fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether a stream is to end with the usage.
    pub(crate) fn wants_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }

    /// The smaller of the two limits.
    pub(crate) fn max_tokens(&self) -> Option<u32> {
        [self.max_tokens, self.max_completion_tokens]
            .into_iter()
            .flatten()
            .min()
    }

    /// The first function that the client offers.
    pub(crate) fn function(&self) -> Option<&str> {
        let tools = self.tools.as_deref().unwrap_or_default();
        tools
            .iter()
            .find_map(|tool| tool.function.as_ref())
            .map(|function| function.name.as_str())
    }

    /// Every message as (role, text).
    pub(crate) fn conversation(&self) -> Vec<(&str, Cow<'_, str>)> {
        self.messages
            .iter()
            .map(|message| (message.role.as_str(), message.text()))
            .collect()
    }
}

impl Message {
    fn text(&self) -> Cow<'_, str> {
        match &self.content {
            None => Cow::Borrowed(""),
            Some(Content::Text(text)) => Cow::Borrowed(text),
            Some(Content::Parts(parts)) => {
                let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
                Cow::Owned(texts.join("\n"))
            }
        }
    }
}
