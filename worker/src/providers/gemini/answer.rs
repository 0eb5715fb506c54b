//! Reads `GenerateContentResponse`: an answer comes as one, or as a stream of them, each with the parts that are new.
//! A stream has no last word: it ends after an event that says why.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use shared::domain::OutputDelta;
use uuid::Uuid;

use super::contents::OUR_ID;
use super::usage;
use crate::providers::dialect::{Flow, ReadAnswer};
use crate::providers::wire::{Assembly, Choice, Fault};

/// An object whose fields are still as they were written.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// How many tools were called so far.
    calls: u32,
    /// Signature of the thoughts behind the text. May come again and more than once; the last one counts.
    signature: Option<String>,
    /// How many parts came that OpenAI has no form for.
    others: u32,
}

/// What a part may hold. Everything else makes it one that passes through as it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    thought_signature: Option<String>,
    #[serde(borrow)]
    function_call: Option<FunctionCall<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCall<'a> {
    id: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(default)]
    will_continue: bool,
    #[serde(borrow)]
    partial_args: Option<&'a RawValue>,
}

impl ReadAnswer for Reader {
    fn event(&mut self, _name: &[u8], data: &[u8], assembly: &mut Assembly) -> Result<Flow, Fault> {
        self.take(data, assembly).map(|()| Flow::More)
    }

    fn whole(&mut self, body: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
        self.take(body, assembly)
    }
}

impl Reader {
    fn take(&mut self, json: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
        let mut fields: Fields<'_> =
            serde_json::from_slice(json).map_err(|error| Fault::unreadable("an answer", json, &error))?;
        if let Some(error) = fields.get("error").filter(|error| error.get() != "null") {
            return Err(Fault::reported(&read(error)?));
        }
        if let Some(report) = fields.remove("usageMetadata")
            && let Some(report) = usage::report(read(report)?)
        {
            assembly.usage(&report.to_string());
        }
        let candidates: Vec<Fields<'_>> = match fields.remove("candidates") {
            Some(candidates) => read(candidates)?,
            None => Vec::new(),
        };
        if candidates.is_empty()
            && let Some(feedback) = fields.get("promptFeedback")
        {
            blocked(&read(feedback)?, assembly)?;
        }
        for (name, value) in &fields {
            let name = match name.as_str() {
                "responseId" => "id",
                "modelVersion" => "model",
                name => name,
            };
            assembly.metadata(name, value.get());
        }
        for candidate in candidates {
            self.candidate(candidate, assembly)?;
        }
        Ok(())
    }

    fn candidate(&mut self, mut fields: Fields<'_>, assembly: &mut Assembly) -> Result<(), Fault> {
        // One was asked for.
        if fields.remove("index").is_some_and(|index| index.get() != "0") {
            return Ok(());
        }
        if let Some(content) = fields.remove("content") {
            let content: Fields<'_> = read(content)?;
            let parts: Vec<&RawValue> = match content.get("parts") {
                Some(parts) => read(parts)?,
                None => Vec::new(),
            };
            for part in parts {
                let delta = self.part(part)?;
                push(assembly, delta, Map::new(), None)?;
            }
        }
        let reason: Option<String> = match fields.remove("finishReason") {
            Some(reason) => read(reason)?,
            None => None,
        };
        let mut beside = Map::new();
        for (name, value) in fields {
            if !matches!(value.get(), "null" | "[]" | "{}") {
                beside.insert(name, read(value)?);
            }
        }
        let reason = match reason {
            Some(theirs) => {
                let ours = self.finish(&theirs, beside.get("finishMessage"))?;
                assembly.metadata("finishReason", &Value::from(theirs).to_string());
                if let Some(signature) = self.signature.take() {
                    beside.insert("extra_content".to_owned(), signed(&signature));
                }
                Some(ours)
            }
            None => None,
        };
        push(assembly, OutputDelta::default(), beside, reason)
    }

    /// One part as a delta in OpenAI's terms.
    fn part(&mut self, raw: &RawValue) -> Result<OutputDelta, Fault> {
        let part: Part<'_> = read(raw)?;
        if let Some(call) = part.function_call {
            return self.call(call, part.thought_signature);
        }
        if let Some(signature) = part.thought_signature {
            self.signature = Some(signature);
        }
        match part.text {
            Some(text) if part.thought && !text.is_empty() => Ok(field("reasoning_content", text.into())),
            Some(text) => Ok(OutputDelta::text(text)),
            None => {
                // Pictures, code that ran and what came of it: no form in OpenAI's terms, so in Gemini's.
                let mut other: Map<String, Value> = read(raw)?;
                other.remove("thoughtSignature");
                if other.is_empty() {
                    return Ok(OutputDelta::default());
                }
                other.insert("index".to_owned(), self.others.into());
                self.others += 1;
                Ok(field("gemini_parts", json!([other])))
            }
        }
    }

    fn call(&mut self, call: FunctionCall<'_>, signature: Option<String>) -> Result<OutputDelta, Fault> {
        if call.will_continue || call.partial_args.is_some() {
            return Err(Fault::malformed(
                "it called a tool with arguments in pieces, which was not asked for",
            ));
        }
        let id = call
            .id
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| format!("{OUR_ID}{}", Uuid::new_v4().simple()));
        let arguments = call.args.map_or("{}", RawValue::get);
        let mut ours = json!({"index": self.calls, "id": id, "type": "function",
            "function": {"name": call.name, "arguments": arguments}});
        if let Some(signature) = signature {
            ours["extra_content"] = signed(&signature);
        }
        self.calls += 1;
        Ok(field("tool_calls", json!([ours])))
    }

    /// Gemini's reason in OpenAI's word; one that OpenAI has no word for in Gemini's own, in small letters. Source:
    /// `FinishReason` in the Gemini API reference.
    fn finish(&self, reason: &str, message: Option<&Value>) -> Result<String, Fault> {
        let ours = match reason {
            "STOP" if self.calls > 0 => "tool_calls",
            "STOP" => "stop",
            "MAX_TOKENS" => "length",
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR" => "content_filter",
            // The model meant to call a tool and failed: what came so far is no answer, and the next try may be one.
            "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MALFORMED_RESPONSE" => {
                let fault = Fault::interrupted(format!("the model broke off: {reason}"));
                return Err(match message.and_then(Value::as_str) {
                    Some(message) => fault.noting(message),
                    None => fault,
                });
            }
            other => return Ok(other.to_ascii_lowercase()),
        };
        Ok(ours.to_owned())
    }
}

/// The prompt was refused: there will be no answer, and that is one. Why, stands in `promptFeedback`.
fn blocked(feedback: &Value, assembly: &mut Assembly) -> Result<(), Fault> {
    if feedback["blockReason"].is_null() {
        return Ok(());
    }
    let reason = Some("content_filter".to_owned());
    push(assembly, OutputDelta::default(), Map::new(), reason)
}

fn push(
    assembly: &mut Assembly,
    delta: OutputDelta,
    beside: Map<String, Value>,
    finish_reason: Option<String>,
) -> Result<(), Fault> {
    let choice = Choice {
        role: Some("assistant".into()),
        delta,
        beside,
        finish_reason: finish_reason.map(Into::into),
        ..Choice::default()
    };
    assembly.choice(choice).map_err(Fault::malformed)
}

fn field(name: &str, value: Value) -> OutputDelta {
    let mut delta = OutputDelta::default();
    delta.delta.insert(name.to_owned(), value);
    delta
}

fn signed(signature: &str) -> Value {
    json!({"google": {"thought_signature": signature}})
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Fault> {
    let json = raw.get();
    serde_json::from_str(json)
        .map_err(|error| Fault::unreadable("what it should be", json.as_bytes(), &error))
}
