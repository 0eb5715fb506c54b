//! The bytes of everything an answer consists of: chunks of a stream, a whole completion, the usage.
//!
//! Written by hand, because a stream in a benchmark is made of millions of chunks that differ in one word, and because
//! some of what is written here is wrong on purpose. Field names and order follow OpenAI's published API description.

use bytes::{BufMut, Bytes, BytesMut};

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
}

impl Finish {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}

/// Token counts. A prompt's tokens are its words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

impl Usage {
    fn json(self) -> String {
        let Self { prompt, completion } = self;
        format!(
            "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":0}},\
             \"completion_tokens_details\":{{\"reasoning_tokens\":0}}}}",
            prompt + completion
        )
    }
}

/// What is the same in every object of one answer.
#[derive(Debug, Clone)]
pub(crate) struct Identity<'a> {
    pub(crate) number: u64,
    /// Unix time in seconds.
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) unknown: bool,
}

impl Identity<'_> {
    fn open(&self, out: &mut BytesMut, object: &str) {
        let Self { number, created, .. } = self;
        let head = format!(
            "{{\"id\":\"chatcmpl-sim-{number}\",\"object\":\"{object}\",\"created\":{created},\"model\":"
        );
        out.put_slice(head.as_bytes());
        push_json_string(out, self.model);
        out.put_slice(b",\"system_fingerprint\":\"simulator\",\"choices\":[");
    }

    /// Unknown fields with a number that does not survive being parsed and written again.
    fn vendor(&self) -> &'static str {
        if self.unknown {
            ",\"x_vendor\":{\"price\":1.50,\"note\":null}"
        } else {
            ""
        }
    }
}

const REASONING: &[u8] = b",\"reasoning_content\":\"hm\"";

/// Where the words of an answer go.
#[derive(Debug, Clone)]
pub(crate) enum Carrier {
    /// `content` of the message.
    Content,
    /// `arguments` of a call of that function.
    Call { function: String, id: String },
}

/// Writes the SSE events of one streamed answer. All share one growing buffer that is reused once it was sent.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    head: Bytes,
    tail: String,
    carrier: Carrier,
    unknown: bool,
    buffer: BytesMut,
}

impl ChunkWriter {
    const BUFFER: usize = 16 * 1024;

    /// With `usage_null` every chunk but the last says `"usage":null`, as OpenAI does when usage was asked for.
    pub(crate) fn new(identity: &Identity<'_>, carrier: Carrier, usage_null: bool) -> Self {
        let mut head = BytesMut::from(&b"data: "[..]);
        identity.open(&mut head, "chat.completion.chunk");
        let usage = if usage_null { ",\"usage\":null" } else { "" };
        Self {
            head: head.freeze(),
            tail: format!("]{usage}{}}}\n\n", identity.vendor()),
            carrier,
            unknown: identity.unknown,
            buffer: BytesMut::new(),
        }
    }

    /// The first chunk: the role, and for a tool call its id and name.
    pub(crate) fn role(&mut self) -> Bytes {
        let carrier = self.carrier.clone();
        self.chunk(None, |out| match carrier {
            Carrier::Content => out.put_slice(b"\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"),
            Carrier::Call { function, id } => {
                out.put_slice(b"\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,");
                push_call(out, &function, &id, "");
                out.put_slice(b"}]");
            }
        })
    }

    /// One token.
    pub(crate) fn token(&mut self, text: &str) -> Bytes {
        self.carried(|out| push_json_string(out, text))
    }

    /// A chunk whose content is not UTF-8.
    pub(crate) fn bad_utf8(&mut self) -> Bytes {
        self.carried(|out| out.put_slice(b"\"\xff\xfe\""))
    }

    /// A chunk that ends in the middle of its JSON.
    pub(crate) fn malformed(&mut self) -> Bytes {
        self.reserve();
        self.buffer.extend_from_slice(&self.head);
        self.buffer.put_slice(b"{\"index\":0,\"delta\":{\"content\":\n\n");
        self.buffer.split().freeze()
    }

    /// The beginning and the end of a chunk whose content is still to be written between them.
    pub(crate) fn split_token(&mut self) -> (Bytes, Bytes) {
        const MARK: &str = "|";
        let mut whole = self.token(MARK);
        // The mark stands once: neither the names of fields nor the numbers of the end hold one.
        let at = whole
            .iter()
            .rposition(|byte| *byte == MARK.as_bytes()[0])
            .unwrap_or_default();
        let mut end = whole.split_off(at);
        (whole, end.split_off(MARK.len()))
    }

    /// The last chunk with a choice.
    pub(crate) fn finish(&mut self, finish: Finish) -> Bytes {
        self.chunk(Some(finish), |_| {})
    }

    /// The chunk without choices that carries the usage.
    pub(crate) fn usage(&mut self, usage: Usage) -> Bytes {
        self.reserve();
        self.buffer.extend_from_slice(&self.head);
        self.buffer
            .put_slice(format!("],\"usage\":{}}}\n\n", usage.json()).as_bytes());
        self.buffer.split().freeze()
    }

    fn carried(&mut self, value: impl FnOnce(&mut BytesMut)) -> Bytes {
        let (before, after): (&[u8], &[u8]) = match self.carrier {
            Carrier::Content => (b"\"content\":", b""),
            Carrier::Call { .. } => (
                b"\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":",
                b"}}]",
            ),
        };
        self.chunk(None, |out| {
            out.put_slice(before);
            value(out);
            out.put_slice(after);
        })
    }

    fn chunk(&mut self, finish: Option<Finish>, delta: impl FnOnce(&mut BytesMut)) -> Bytes {
        self.reserve();
        self.buffer.extend_from_slice(&self.head);
        self.buffer.put_slice(b"{\"index\":0,\"delta\":{");
        delta(&mut self.buffer);
        if self.unknown && finish.is_none() {
            self.buffer.put_slice(REASONING);
        }
        self.buffer.put_slice(b"},\"logprobs\":null,\"finish_reason\":");
        push_finish(&mut self.buffer, finish);
        self.buffer.put_slice(b"}");
        self.buffer.put_slice(self.tail.as_bytes());
        self.buffer.split().freeze()
    }

    fn reserve(&mut self) {
        if self.buffer.capacity() < 1024 {
            self.buffer.reserve(Self::BUFFER);
        }
    }
}

/// A whole completion. `content` is the text as JSON, quotes included, and may be wrong on purpose.
pub(crate) fn completion(
    identity: &Identity<'_>,
    carrier: &Carrier,
    content: &[u8],
    finish: Option<Finish>,
    usage: Option<Usage>,
) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(content.len() + 1024);
    identity.open(&mut out, "chat.completion");
    out.put_slice(b"{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    match carrier {
        Carrier::Content => out.put_slice(content),
        Carrier::Call { function, id } => {
            out.put_slice(b"null,\"tool_calls\":[{");
            push_call_around(&mut out, function, id, content);
            out.put_slice(b"}]");
        }
    }
    out.put_slice(b",\"refusal\":null");
    if identity.unknown {
        out.put_slice(REASONING);
    }
    out.put_slice(b"},\"logprobs\":null,\"finish_reason\":");
    push_finish(&mut out, finish);
    out.put_slice(b"}]");
    if let Some(usage) = usage {
        out.put_slice(b",\"usage\":");
        out.put_slice(usage.json().as_bytes());
    }
    out.put_slice(identity.vendor().as_bytes());
    out.put_slice(b"}");
    out.into()
}

/// Appends `text` as a JSON string (RFC 8259, section 7).
pub(crate) fn push_json_string(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    // In runs: written byte by byte, the content of a giant answer takes an unoptimized build many seconds.
    for run in text.as_bytes().split_inclusive(special) {
        match run.split_last() {
            Some((&byte, plain)) if special(&byte) => {
                out.put_slice(plain);
                match byte {
                    b'"' | b'\\' => out.put_slice(&[b'\\', byte]),
                    _ => out.put_slice(format!("\\u{byte:04x}").as_bytes()),
                }
            }
            _ => out.put_slice(run),
        }
    }
    out.put_u8(b'"');
}

fn push_finish(out: &mut BytesMut, finish: Option<Finish>) {
    match finish {
        Some(finish) => {
            out.put_u8(b'"');
            out.put_slice(finish.name().as_bytes());
            out.put_u8(b'"');
        }
        None => out.put_slice(b"null"),
    }
}

fn push_call(out: &mut BytesMut, function: &str, id: &str, arguments: &str) {
    let mut quoted = BytesMut::new();
    push_json_string(&mut quoted, arguments);
    push_call_around(out, function, id, &quoted);
}

fn push_call_around(out: &mut BytesMut, function: &str, id: &str, arguments: &[u8]) {
    out.put_slice(b"\"id\":");
    push_json_string(out, id);
    out.put_slice(b",\"type\":\"function\",\"function\":{\"name\":");
    push_json_string(out, function);
    out.put_slice(b",\"arguments\":");
    out.put_slice(arguments);
    out.put_slice(b"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_json_wants_them() {
        for text in [
            "quote \" backslash \\ newline \n nul \0 é 漢 😀",
            "\"at both ends, and twice\n\n\u{1f}",
            "plain",
            "",
        ] {
            let mut out = BytesMut::new();
            push_json_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn a_split_token_is_a_token_again_with_its_content() {
        let identity = Identity {
            number: 1,
            created: 2,
            model: "a|b",
            unknown: false,
        };
        let mut writer = ChunkWriter::new(&identity, Carrier::Content, true);
        let (head, tail) = writer.split_token();
        let joined = [&head[..], b"hello", &tail[..]].concat();
        assert_eq!(joined, writer.token("hello"));
    }
}
