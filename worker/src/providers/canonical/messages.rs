//! The conversation: a list of OpenAI's chat messages, each read into its role, its parts and its tool calls. Fields
//! that are not OpenAI's stay beside them.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::providers::wire::Fault;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::providers) enum Role {
    /// `system`, and `developer`, which is its newer name.
    System,
    User,
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message.
#[derive(Debug)]
pub(in crate::providers) struct Message {
    /// Where in the list it stands, for error messages.
    pub(in crate::providers) at: usize,
    pub(in crate::providers) role: Role,
    /// What it says; a content that is a string is one part.
    pub(in crate::providers) parts: Vec<Part>,
    /// What the assistant called.
    pub(in crate::providers) tool_calls: Vec<ToolCall>,
    /// Which call a tool's result belongs to.
    pub(in crate::providers) tool_call_id: Option<String>,
    /// Every other field: `reasoning_content`, `name`, what we do not know. Nulls left out.
    pub(in crate::providers) beside: Map<String, Value>,
}

/// A part of a message.
#[derive(Debug, PartialEq)]
pub(in crate::providers) enum Part {
    /// Text, and a refusal in the assistant's words.
    Text {
        text: String,
        /// Fields that are not OpenAI's: `cache_control`.
        beside: Map<String, Value>,
    },
    Image {
        source: Source,
        /// `low`, `high`, `auto`.
        detail: Option<String>,
        /// Fields that are not OpenAI's.
        beside: Map<String, Value>,
    },
    /// A file whose content stands in the message.
    File { source: Source, name: Option<String> },
    /// A part OpenAI does not know, as it came.
    Other(Map<String, Value>),
}

/// Where a picture or file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::providers) enum Source {
    /// In the message, from a `data:` URL.
    Inline {
        /// `image/png`
        media_type: String,
        /// In base64, not decoded.
        data: String,
    },
    /// At this `https://` or `http://` address.
    Link(String),
}

/// A call the assistant made.
#[derive(Debug, PartialEq)]
pub(in crate::providers) struct ToolCall {
    pub(in crate::providers) id: String,
    pub(in crate::providers) name: String,
    /// JSON text, as the model wrote it; may be empty.
    pub(in crate::providers) arguments: String,
    /// Fields that are not OpenAI's: `extra_content`. Nulls left out.
    pub(in crate::providers) beside: Map<String, Value>,
}

impl Message {
    /// Reads the conversation.
    pub(in crate::providers) fn list(messages: &RawValue) -> Result<Vec<Self>, Fault> {
        // The error's own text may quote the prompt.
        let list: Vec<Map<String, Value>> = serde_json::from_str(messages.get())
            .map_err(|_| Fault::unsupported("messages: must be a list of objects"))?;
        list.into_iter()
            .enumerate()
            .map(|(at, fields)| Self::read(at, fields))
            .collect()
    }

    /// The text of all its parts, one line each; none when one is not text.
    pub(in crate::providers) fn text(&self) -> Option<String> {
        let texts: Option<Vec<&str>> = self.parts.iter().map(Part::text).collect();
        texts.map(|texts| texts.join("\n"))
    }

    fn read(at: usize, mut fields: Map<String, Value>) -> Result<Self, Fault> {
        let role = match fields.remove("role").as_ref().and_then(Value::as_str) {
            Some("system" | "developer") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            Some("function") => {
                return Err(refused(
                    at,
                    "role",
                    "function calls are tool calls now: use the role tool",
                ));
            }
            _ => {
                return Err(refused(
                    at,
                    "role",
                    "must be system, developer, user, assistant or tool",
                ));
            }
        };
        let mut parts = match fields.remove("content") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => vec![Part::plain(text)],
            Some(Value::Array(parts)) => parts
                .into_iter()
                .enumerate()
                .map(|(part, value)| Part::read(at, part, value))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(refused(at, "content", "must be a string or a list of parts")),
        };
        if let Some(Value::String(refusal)) = fields.remove("refusal") {
            parts.push(Part::plain(refusal));
        }
        let tool_calls = match fields.remove("tool_calls") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(calls)) => calls
                .into_iter()
                .enumerate()
                .map(|(call, value)| ToolCall::read(at, call, value))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(refused(at, "tool_calls", "must be a list")),
        };
        let tool_call_id = match fields.remove("tool_call_id") {
            Some(Value::String(id)) => Some(id),
            _ => None,
        };
        if role == Role::Tool && tool_call_id.is_none() {
            return Err(refused(
                at,
                "tool_call_id",
                "must name the call whose result this is",
            ));
        }
        fields.retain(|_, value| !value.is_null());
        Ok(Self {
            at,
            role,
            parts,
            tool_calls,
            tool_call_id,
            beside: fields,
        })
    }
}

impl Part {
    /// The text, where it is nothing else.
    pub(in crate::providers) fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    fn plain(text: String) -> Self {
        Self::Text {
            text,
            beside: Map::new(),
        }
    }

    fn read(message: usize, part: usize, value: Value) -> Result<Self, Fault> {
        let field = |name: &str| format!("content[{part}].{name}");
        let Value::Object(mut fields) = value else {
            return Err(refused(message, &format!("content[{part}]"), "must be an object"));
        };
        let kind = fields
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        match kind.as_str() {
            "text" | "refusal" => {
                let Some(Value::String(text)) = fields.remove(&kind) else {
                    return Err(refused(message, &field(&kind), "must be a string"));
                };
                fields.remove("type");
                Ok(Self::Text { text, beside: fields })
            }
            "image_url" => {
                let (url, detail) = match fields.remove("image_url") {
                    Some(Value::String(url)) => (Some(url), None),
                    Some(Value::Object(mut image)) => {
                        (string(&mut image, "url"), string(&mut image, "detail"))
                    }
                    _ => (None, None),
                };
                let source = Source::read(url.unwrap_or_default())
                    .map_err(|wrong| refused(message, &field("image_url.url"), wrong))?;
                fields.remove("type");
                Ok(Self::Image {
                    source,
                    detail,
                    beside: fields,
                })
            }
            "file" => {
                let Some(Value::Object(mut file)) = fields.remove("file") else {
                    return Err(refused(message, &field("file"), "must be an object"));
                };
                let Some(data) = string(&mut file, "file_data") else {
                    let wrong = "must hold the file: one that was uploaded to OpenAI cannot be read here";
                    return Err(refused(message, &field("file.file_data"), wrong));
                };
                let source =
                    Source::read(data).map_err(|wrong| refused(message, &field("file.file_data"), wrong))?;
                let name = string(&mut file, "filename");
                Ok(Self::File { source, name })
            }
            "input_audio" | "video_url" => Err(refused(
                message,
                &field("type"),
                &format!("{kind} is not taken by this provider"),
            )),
            _ => Ok(Self::Other(fields)),
        }
    }
}

impl Source {
    fn read(url: String) -> Result<Self, &'static str> {
        const WANTED: &str = "must be an https:// address or a data: URL in base64";
        let Some(data) = url.strip_prefix("data:") else {
            let is_link = url.starts_with("https://") || url.starts_with("http://");
            return if is_link { Ok(Self::Link(url)) } else { Err(WANTED) };
        };
        let (head, data) = data.split_once(',').ok_or(WANTED)?;
        let media_type = head.strip_suffix(";base64").ok_or(WANTED)?;
        // Parameters (`;charset=...`) mean nothing for what is binary.
        let media_type = media_type.split(';').next().unwrap_or_default();
        Ok(Self::Inline {
            media_type: media_type.to_ascii_lowercase(),
            data: data.to_owned(),
        })
    }
}

impl ToolCall {
    /// The arguments as an object. Nothing said is an empty one.
    pub(in crate::providers) fn arguments(&self, message: usize) -> Result<Map<String, Value>, Fault> {
        if self.arguments.trim().is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_str(&self.arguments).map_err(|_| {
            let wrong = format!("the arguments of the call {} must be a JSON object", self.id);
            refused(message, "tool_calls", &wrong)
        })
    }

    fn read(message: usize, call: usize, value: Value) -> Result<Self, Fault> {
        let wrong = |field: &str, wrong: &str| refused(message, &format!("tool_calls[{call}]{field}"), wrong);
        let Value::Object(mut fields) = value else {
            return Err(wrong("", "must be an object"));
        };
        let Some(id) = string(&mut fields, "id") else {
            return Err(wrong(".id", "must be a string"));
        };
        let Some(Value::Object(mut function)) = fields.remove("function") else {
            return Err(wrong(
                ".function",
                "only calls of functions are taken by this provider",
            ));
        };
        let Some(name) = string(&mut function, "name") else {
            return Err(wrong(".function.name", "must be a string"));
        };
        let arguments = match function.remove("arguments") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(arguments)) => arguments,
            Some(_) => return Err(wrong(".function.arguments", "must be JSON in a string")),
        };
        fields.retain(|field, value| !matches!(field.as_str(), "type" | "index") && !value.is_null());
        Ok(Self {
            id,
            name,
            arguments,
            beside: fields,
        })
    }
}

fn string(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn refused(message: usize, field: &str, wrong: &str) -> Fault {
    Fault::unsupported(format!("messages[{message}].{field}: {wrong}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(messages: &Value) -> Result<Vec<Message>, Fault> {
        Message::list(&RawValue::from_string(messages.to_string()).unwrap())
    }

    #[test]
    fn every_kind_of_message() {
        let list = read(&json!([
            {"role": "developer", "content": "be brief", "name": "x"},
            {"role": "user", "content": [
                {"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,iVBO", "detail": "low"}},
                {"type": "image_url", "image_url": "https://x/y.png"},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
                {"type": "document", "source": {}}]},
            {"role": "assistant", "content": null, "refusal": "no", "reasoning_content": "hm", "audio": null,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "done"}
        ]))
        .unwrap();
        let roles: Vec<Role> = list.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool]);
        let inline = |media_type: &str, data: &str| Source::Inline {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        };
        let Part::Text { text, beside } = &list[1].parts[0] else {
            panic!("{:?}", list[1])
        };
        assert_eq!((text.as_str(), beside.len()), ("see", 1));
        let images: Vec<(&Source, Option<&str>)> = list[1]
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Image { source, detail, .. } => Some((source, detail.as_deref())),
                _ => None,
            })
            .collect();
        assert_eq!(
            images,
            [
                (&inline("image/png", "iVBO"), Some("low")),
                (&Source::Link("https://x/y.png".to_owned()), None)
            ]
        );
        let name = Some("a.pdf".to_owned());
        assert_eq!(
            list[1].parts[3],
            Part::File {
                source: inline("application/pdf", "JVBE"),
                name
            }
        );
        assert!(matches!(&list[1].parts[4], Part::Other(fields) if fields["type"] == "document"));
        assert_eq!(list[1].text(), None);
        assert_eq!(list[2].text().as_deref(), Some("no"));
        assert_eq!(list[2].tool_calls[0].arguments(2).unwrap()["a"], 1);
        assert_eq!(
            Value::Object(list[2].beside.clone()),
            json!({"reasoning_content": "hm"})
        );
        assert_eq!(list[3].tool_call_id.as_deref(), Some("c"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let call = |function: Value| json!([{"role": "assistant", "tool_calls": [{"id": "c", "function": function}]}]);
        let part = |part: Value| json!([{"role": "user", "content": [part]}]);
        let refusals = [
            (json!({}), "messages: "),
            (json!(["hi"]), "messages: "),
            (json!([{"content": "hi"}]), "messages[0].role: "),
            (
                json!([{"role": "user", "content": "hi"}, {"role": "function"}]),
                "messages[1].role: ",
            ),
            (json!([{"role": "user", "content": 7}]), "messages[0].content: "),
            (
                json!([{"role": "tool", "content": "x"}]),
                "messages[0].tool_call_id: ",
            ),
            (part(json!("hi")), "messages[0].content[0]: "),
            (part(json!({"type": "text"})), "messages[0].content[0].text: "),
            (
                part(json!({"type": "input_audio"})),
                "messages[0].content[0].type: ",
            ),
            (
                part(json!({"type": "image_url", "image_url": {"url": "ftp://x"}})),
                "messages[0].content[0].image_url.url: ",
            ),
            (
                part(json!({"type": "image_url", "image_url": {"url": "data:image/png,raw"}})),
                "messages[0].content[0].image_url.url: ",
            ),
            (
                part(json!({"type": "file", "file": {"file_id": "f-1"}})),
                "messages[0].content[0].file.file_data: ",
            ),
            (
                call(json!({"name": 7})),
                "messages[0].tool_calls[0].function.name: ",
            ),
            (
                call(json!({"name": "f", "arguments": {}})),
                "messages[0].tool_calls[0].function.arguments: ",
            ),
        ];
        for (messages, named) in refusals {
            let said = read(&messages).unwrap_err().quoted();
            assert!(said.starts_with(named), "{said}");
        }
    }

    #[test]
    fn arguments_are_an_object() {
        let call = |arguments: &str| ToolCall {
            id: "c".to_owned(),
            name: "f".to_owned(),
            arguments: arguments.to_owned(),
            beside: Map::new(),
        };
        assert!(call(" ").arguments(0).unwrap().is_empty());
        for wrong in ["{", "[]", "7"] {
            assert!(
                call(wrong)
                    .arguments(4)
                    .unwrap_err()
                    .quoted()
                    .contains("messages[4]"),
                "{wrong}"
            );
        }
    }
}
