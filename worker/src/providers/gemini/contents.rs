//! The conversation in Gemini's form: turns of `user` and `model`, with instructions apart. Results of tools are the
//! user's, all results of one turn together and in the order of the calls they answer.

use serde_json::{Map, Value, json};

use super::name_of;
use crate::providers::ChatCall;
use crate::providers::canonical::{Message, Part, Role, Source, ToolCall};
use crate::providers::wire::Fault;

/// Given to calls that Gemini gave no id. Not sent back: it would not know them.
pub(super) const OUR_ID: &str = "gemini-call-";

/// Says that a call has no signature because another model made it. Source: "Thought signatures" in the Gemini API
/// documentation.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// A prompt.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    /// Parts of `systemInstruction`.
    pub(super) system: Vec<Value>,
    pub(super) contents: Vec<Value>,
    /// Whether calls and results are written with their ids.
    call_ids: bool,
    /// Id and name of every call so far.
    calls: Vec<(String, String)>,
    /// Results that belong to one turn, with the place of their call in `calls`.
    results: Vec<(usize, Vec<Value>)>,
}

/// Writes the conversation.
pub(super) fn prompt(call: &ChatCall<'_>, call_ids: bool) -> Result<Prompt, Fault> {
    let mut prompt = Prompt {
        call_ids,
        ..Prompt::default()
    };
    for message in Message::list(call.messages)? {
        if message.role != Role::Tool {
            prompt.end_results();
        }
        match message.role {
            Role::System => prompt.system.extend(parts(message)),
            Role::User => prompt.turn("user", parts(message)),
            Role::Assistant => prompt.model(message, needs_signature(call.model))?,
            Role::Tool => prompt.result(message)?,
        }
    }
    prompt.end_results();
    if prompt.contents.is_empty() {
        // Instructions alone: Gemini wants somebody to answer.
        let parts = std::mem::take(&mut prompt.system);
        prompt.turn("user", parts);
    }
    if let Some(beginning) = call.beginning {
        prompt.turn("model", vec![json!({"text": beginning})]);
    }
    Ok(prompt)
}

impl Prompt {
    fn turn(&mut self, role: &str, parts: Vec<Value>) {
        if !parts.is_empty() {
            let mut turn = json!({"role": role});
            // Moved, as `json!` would copy the attachments.
            turn["parts"] = parts.into();
            self.contents.push(turn);
        }
    }

    fn model(&mut self, mut message: Message, needs_signature: bool) -> Result<(), Fault> {
        let at = message.at;
        let signature = signature_in(&mut message.beside);
        let calls = std::mem::take(&mut message.tool_calls);
        let mut parts = parts(message);
        if let Some(signature) = signature {
            match parts.last_mut() {
                Some(last) => last["thoughtSignature"] = signature,
                None => parts.push(json!({"text": "", "thoughtSignature": signature})),
            }
        }
        for (index, mut call) in calls.into_iter().enumerate() {
            let signature = signature_in(&mut call.beside)
                .or_else(|| (index == 0 && needs_signature).then(|| NO_SIGNATURE.into()));
            let mut function = json!({"name": call.name, "args": call.arguments(at)?});
            self.identify(&mut function, &call.id);
            let mut part = json!({"functionCall": function});
            if let Some(signature) = signature {
                part["thoughtSignature"] = signature;
            }
            parts.push(part);
            let ToolCall { id, name, .. } = call;
            self.calls.push((id, name));
        }
        self.turn("model", parts);
        Ok(())
    }

    fn result(&mut self, message: Message) -> Result<(), Fault> {
        let at = message.at;
        let id = message.tool_call_id.clone().unwrap_or_default();
        // Some number their calls anew in each turn: the last of this id is meant.
        let Some(call) = self.calls.iter().rposition(|(known, _)| *known == id) else {
            return Err(Fault::unsupported(format!(
                "messages[{at}].tool_call_id: no earlier message calls a tool with this id"
            )));
        };
        let (texts, others): (Vec<Part>, Vec<Part>) =
            message.parts.into_iter().partition(|part| part.text().is_some());
        let texts: Vec<&str> = texts.iter().filter_map(Part::text).collect();
        let mut function = json!({"name": self.calls[call].1, "response": response(&texts.join("\n"))});
        self.identify(&mut function, &id);
        let mut turn = vec![json!({"functionResponse": function})];
        turn.extend(others.into_iter().map(write));
        self.results.push((call, turn));
        Ok(())
    }

    fn identify(&self, function: &mut Value, id: &str) {
        if self.call_ids && !id.starts_with(OUR_ID) {
            function["id"] = id.into();
        }
    }

    fn end_results(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        results.sort_by_key(|(call, _)| *call);
        let parts = results.into_iter().flat_map(|(_, parts)| parts).collect();
        self.turn("user", parts);
    }
}

fn parts(message: Message) -> Vec<Value> {
    let said = message.parts.into_iter().filter(|part| part.text() != Some(""));
    said.map(write).collect()
}

fn write(part: Part) -> Value {
    match part {
        Part::Text { text, .. } => json!({"text": text}),
        Part::Image { source, .. } | Part::File { source, .. } => match source {
            Source::Inline { media_type, data } => {
                json!({"inlineData": {"mimeType": media_type, "data": data}})
            }
            // Gemini fetches it itself. Source: "File input methods" in its documentation.
            Source::Link(url) => {
                let mut file = Map::new();
                if let Some(media_type) = media_type_of(&url) {
                    file.insert("mimeType".to_owned(), media_type.into());
                }
                file.insert("fileUri".to_owned(), url.into());
                json!({"fileData": file})
            }
        },
        // `{"type": "fileData", "fileData": {...}}`: Gemini's own parts, which have no type.
        Part::Other(mut fields) => {
            fields.remove("type");
            Value::Object(fields)
        }
    }
}

/// What a tool gave, which has to be an object.
fn response(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => json!({"output": text}),
    }
}

/// The signature of the thoughts behind a message or call, taken out.
fn signature_in(beside: &mut Map<String, Value>) -> Option<Value> {
    let signature = beside
        .get_mut("extra_content")?
        .get_mut("google")?
        .get_mut("thought_signature")?
        .take();
    signature.is_string().then_some(signature)
}

/// Whether a model refuses calls without a signature: Gemini from 3 on.
fn needs_signature(model: &str) -> bool {
    let name = name_of(model);
    name.starts_with("gemini-") && !["gemini-1", "gemini-2"].iter().any(|old| name.starts_with(old))
}

/// By the name's ending, as far as it has one that Gemini takes.
fn media_type_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let ending = path.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
    match ending.as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        "heic" => Some("image/heic"),
        "heif" => Some("image/heif"),
        "pdf" => Some("application/pdf"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_a_signature() {
        for (model, needs) in [
            ("gemini-3-pro-preview", true),
            ("models/gemini-3.7-flash", true),
            ("gemini-flash-latest", true),
            ("gemini-2.5-pro", false),
            ("gemini-1.5-flash", false),
            ("gemma-4", false),
        ] {
            assert_eq!(needs_signature(model), needs, "{model}");
        }
    }

    #[test]
    fn what_a_link_leads_to() {
        assert_eq!(
            media_type_of("https://x/a.b/Photo.JPG?size=1#x"),
            Some("image/jpeg")
        );
        for unknown in [
            "https://x.png/",
            "https://x/photo",
            "https://x/photo.xyz",
            "https://x/a?b=c.png",
        ] {
            assert_eq!(media_type_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn results_are_objects() {
        assert_eq!(response(r#"{"t": 21}"#), json!({"t": 21}));
        for text in ["21", "[1]", "sunny", ""] {
            assert_eq!(response(text), json!({"output": text}));
        }
    }
}
