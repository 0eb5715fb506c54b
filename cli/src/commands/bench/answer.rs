//! Reads the stream of one run as far as a benchmark needs it: when something to read came, how much, and how it ended.
//!
//! Scans bytes and parses no JSON: at 50,000 tokens a second a parser would be most of what the generator costs. It
//! relies on the shapes that the two protocols write, and must never take a stream that broke off for an answer.

use memchr::{memchr, memmem};

use super::whole::{self, Whole};

/// The two protocols there are, as streams and in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The events of a run, as the native API sends them.
    Runs,
    /// Chunks of a chat completion, as OpenAI sends them.
    Completions,
    /// The result of a run.
    WholeRun,
    /// A chat completion in one piece.
    WholeCompletion,
}

/// What was read of one run.
#[derive(Debug)]
pub(super) struct Answer {
    protocol: Protocol,
    /// The beginning of a line whose end is still to come; of an answer in one piece, all that came.
    partial: Vec<u8>,
    event: Event,
    in_word: bool,
    /// Words of the text so far.
    pub(super) words: u64,
    /// Output tokens, as the provider counted them.
    pub(super) reported: Option<u64>,
    /// How often the control plane announced that the answer begins anew.
    pub(super) rewinds: u64,
    /// How it ended, once it has.
    pub(super) end: Option<End>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Failed(String),
}

/// The type of the event whose data is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Attempt,
    Delta,
    Usage,
    Succeeded,
    Failed,
    Cancelled,
    Other,
}

impl Answer {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            partial: Vec::new(),
            event: Event::Other,
            in_word: false,
            words: 0,
            reported: None,
            rewinds: 0,
            end: None,
        }
    }

    /// Begins another run; keeps the memory.
    pub(super) fn reset(&mut self) {
        let mut partial = std::mem::take(&mut self.partial);
        partial.clear();
        *self = Self {
            partial,
            ..Self::new(self.protocol)
        };
    }

    /// Takes what arrived. Returns whether there was text in it.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        if matches!(self.protocol, Protocol::WholeRun | Protocol::WholeCompletion) {
            self.partial.extend_from_slice(bytes);
            return false;
        }
        let mut visible = false;
        while let Some(at) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            bytes = rest;
            if self.partial.is_empty() {
                visible |= self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                visible |= self.line(&whole);
                whole.clear();
                self.partial = whole;
            }
        }
        self.partial.extend_from_slice(bytes);
        visible
    }

    /// Everything has come. Returns whether there is text that was not seen before.
    pub(super) fn close(&mut self) -> bool {
        let parse = match self.protocol {
            Protocol::Runs | Protocol::Completions => return false,
            Protocol::WholeRun => whole::run,
            Protocol::WholeCompletion => whole::completion,
        };
        let Whole { words, reported, end } = parse(&self.partial);
        self.partial.clear();
        self.words = words;
        self.reported = reported;
        self.end = end;
        words > 0
    }

    fn line(&mut self, line: &[u8]) -> bool {
        if let Some(data) = line.strip_prefix(b"data:") {
            return match self.protocol {
                Protocol::Runs => self.entry(data),
                Protocol::Completions => self.chunk(data),
                // Not read by lines.
                Protocol::WholeRun | Protocol::WholeCompletion => false,
            };
        }
        if let Some(name) = line.strip_prefix(b"event:") {
            self.event = match name.trim_ascii() {
                b"attempt.started" => Event::Attempt,
                b"output.delta" => Event::Delta,
                b"usage.reported" => Event::Usage,
                b"run.succeeded" => Event::Succeeded,
                b"run.failed" => Event::Failed,
                b"run.cancelled" => Event::Cancelled,
                _ => Event::Other,
            };
        }
        false
    }

    /// The data of one event; its type came before it.
    fn entry(&mut self, data: &[u8]) -> bool {
        match self.event {
            Event::Delta => return self.text(data, b"\"text\""),
            Event::Usage => self.reported = number(data, b"\"output_tokens\""),
            Event::Attempt if memmem::find(data, b"\"void_after\"").is_some() => {
                self.rewinds += 1;
                self.words = 0;
                self.in_word = false;
            }
            Event::Succeeded => self.end = Some(End::Complete),
            Event::Failed => {
                let code = string(data, b"\"code\"").map_or_else(Default::default, String::from_utf8_lossy);
                self.end = Some(End::Failed(format!("the run failed: {code}")));
            }
            Event::Cancelled => self.end = Some(End::Failed("the run was cancelled".to_owned())),
            Event::Attempt | Event::Other => {}
        }
        false
    }

    /// One chunk. An answer is complete only when the provider said why it stopped.
    fn chunk(&mut self, data: &[u8]) -> bool {
        let visible = self.text(data, b"\"content\"");
        if !visible {
            if string(data, b"\"finish_reason\"").is_some() {
                self.end = Some(End::Complete);
            } else if memmem::find(data, b"\"error\"").is_some() {
                self.end = Some(End::Failed(
                    "the provider reported an error in its stream".to_owned(),
                ));
            }
            self.reported = number(data, b"\"completion_tokens\"").or(self.reported);
        }
        visible
    }

    /// Counts the words in a field. Returns whether it held any text.
    fn text(&mut self, data: &[u8], field: &[u8]) -> bool {
        let Some(text) = string(data, field) else {
            return false;
        };
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            let space = match byte {
                b' ' => true,
                b'\\' => matches!(bytes.next(), Some(b'n' | b'r' | b't')),
                _ => false,
            };
            self.words += u64::from(!space && !self.in_word);
            self.in_word = !space;
        }
        !text.is_empty()
    }
}

/// What stands after a field's name and colon.
fn value<'a>(json: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    let after = &json[memmem::find(json, field)? + field.len()..];
    Some(after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())
}

/// The string in a field, without its quotes and with its escapes.
fn string<'a>(json: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    let text = value(json, field)?.strip_prefix(b"\"")?;
    let mut from = 0;
    loop {
        let at = from + memchr(b'"', &text[from..])?;
        let escapes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some(&text[..at]);
        }
        from = at + 1;
    }
}

fn number(json: &[u8], field: &[u8]) -> Option<u64> {
    let value = value(json, field)?;
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = concat!(
        "retry: 1000\n\n",
        "id: 0-1\nevent: run.queued\ndata: {\"cursor\":\"0-1\",\"type\":\"run.queued\",\"data\":{}}\n\n",
        "id: 1-1\nevent: attempt.started\ndata: {\"type\":\"attempt.started\",\"data\":{\"attempt\":1}}\n\n",
        "id: 1-2\nevent: output.delta\ndata: {\"type\":\"output.delta\",\"data\":{\"text\":\"About\"}}\n\n",
        "id: 1-3\nevent: output.delta\ndata: {\"type\":\"output.delta\",\"data\":{\"text\":\" “a \\\"b\\\\\\\"”: No\\nearly\"}}\n\n",
        "id: 1-4\nevent: usage.reported\ndata: {\"data\":{\"input_tokens\":1,\"output_tokens\":5,\"raw\":{}}}\n\n",
        "id: 1-5\nevent: run.succeeded\ndata: {\"data\":{\"finish_reason\":\"stop\"}}\n\n",
    );

    const COMPLETION: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"About\"},\"finish_reason\":null}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\": {\"reasoning_content\":\"x y\", \"content\": \" “a\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );

    fn read(protocol: Protocol, text: &str, piece: usize) -> (Answer, usize) {
        let mut answer = Answer::new(protocol);
        let visible = text
            .as_bytes()
            .chunks(piece)
            .filter(|bytes| answer.read(bytes))
            .count();
        (answer, visible)
    }

    #[test]
    fn however_the_bytes_are_cut_it_reads_the_same() {
        for piece in [1, 2, 3, 7, 50, 10_000] {
            let (run, visible) = read(Protocol::Runs, RUN, piece);
            assert_eq!((run.words, run.reported, run.rewinds), (5, Some(5), 0), "{piece}");
            assert_eq!(run.end, Some(End::Complete), "{piece}");
            assert_eq!(visible, if piece == 10_000 { 1 } else { 2 }, "{piece}");

            let (completion, visible) = read(Protocol::Completions, COMPLETION, piece);
            assert_eq!((completion.words, completion.reported), (2, Some(2)), "{piece}");
            assert_eq!(completion.end, Some(End::Complete), "{piece}");
            assert_eq!(visible, if piece == 10_000 { 1 } else { 2 }, "{piece}");
        }
    }

    #[test]
    fn what_breaks_off_has_no_end() {
        for (protocol, text) in [(Protocol::Runs, RUN), (Protocol::Completions, COMPLETION)] {
            let whole = text.find("run.succeeded").or(text.find("\"length\"")).unwrap();
            assert_eq!(read(protocol, &text[..whole], 10_000).0.end, None, "{protocol:?}");
        }
    }

    #[test]
    fn a_rewind_voids_what_was_read() {
        let again = "event: attempt.started\ndata: {\"data\":{\"attempt\":2,\"void_after\":\"1-1\"}}\n\n";
        let delta = "event: output.delta\ndata: {\"data\":{\"text\":\"one two\"}}\n\n";
        let (answer, _) = read(Protocol::Runs, &[delta, again, delta].concat(), 10_000);
        assert_eq!((answer.words, answer.rewinds), (2, 1));
    }

    #[test]
    fn a_failed_run_says_why() {
        let failed =
            "event: run.failed\ndata: {\"data\":{\"code\":\"provider_error\",\"message\":\"x\"}}\n\n";
        let (answer, _) = read(Protocol::Runs, failed, 5);
        assert_eq!(
            answer.end,
            Some(End::Failed("the run failed: provider_error".to_owned()))
        );
        let (answer, _) = read(
            Protocol::Completions,
            "data: {\"error\": {\"message\": \"x\"}}\n\n",
            5,
        );
        assert!(matches!(answer.end, Some(End::Failed(_))));
    }

    #[test]
    fn the_next_run_begins_with_nothing() {
        let (mut answer, _) = read(Protocol::Runs, &RUN[..RUN.len() - 5], 10_000);
        answer.reset();
        answer.read(COMPLETION.as_bytes());
        assert_eq!((answer.words, answer.reported, &answer.end), (0, None, &None));
        answer.reset();
        answer.read(RUN.as_bytes());
        assert_eq!(answer.words, 5);
    }
}
