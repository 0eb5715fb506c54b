//! Server-sent events, read from chunks of bytes as the WHATWG HTML standard says (section 9.2, "Server-sent
//! events"): any of the three line ends, comments, several `data` lines, `event` names, a byte order mark.
//!
//! Never holds more than one chunk, one line and one event's data, the latter two within a fixed bound. Knows nothing
//! of JSON. `id` and `retry` are skipped: a chat stream cannot be resumed.

use memchr::memchr2;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event, borrowed from the reader until it is asked for the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SseEvent<'a> {
    /// The value of its `event` field; empty when it has none.
    pub(super) name: &'a [u8],
    /// Its `data` lines, joined by line feeds.
    pub(super) data: &'a [u8],
}

/// A line, or an event's data, is longer than the reader's bound.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line or event of more than {0} bytes")]
pub(super) struct TooLong(usize);

/// Splits a stream into events.
#[derive(Debug)]
pub(super) struct SseReader {
    longest: usize,
    buffer: Vec<u8>,
    /// Where in `buffer` the next line begins.
    next: usize,
    /// Up to where `buffer` was searched for a line end.
    searched: usize,
    /// The last line ended in a carriage return: a line feed right after it belongs to it.
    after_return: bool,
    first_line: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    handed_out: bool,
}

impl SseReader {
    /// A reader that refuses lines, and events, of more than `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self {
            longest,
            buffer: Vec::new(),
            next: 0,
            searched: 0,
            after_return: false,
            first_line: true,
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            handed_out: false,
        }
    }

    /// Adds bytes as they came. Take all events out before adding more: that is what bounds the buffer.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.next);
        self.searched -= self.next;
        self.next = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event; none until more bytes are pushed.
    pub(super) fn next_event(&mut self) -> Result<Option<SseEvent<'_>>, TooLong> {
        if self.handed_out {
            self.forget_event();
        }
        while let Some((from, to)) = self.next_line()? {
            let line = &self.buffer[from..to];
            if line.is_empty() {
                if self.has_data {
                    self.handed_out = true;
                    return Ok(Some(SseEvent {
                        name: &self.name,
                        data: &self.data,
                    }));
                }
                self.forget_event();
                continue;
            }
            let (field, value) = split_field(line);
            match field {
                b"data" => {
                    if self.data.len() + value.len() >= self.longest {
                        return Err(TooLong(self.longest));
                    }
                    if self.has_data {
                        self.data.push(b'\n');
                    }
                    self.data.extend_from_slice(value);
                    self.has_data = true;
                }
                b"event" => {
                    self.name.clear();
                    self.name.extend_from_slice(value);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The event that the end of the stream left open, if any. The standard drops it; providers that end with
    /// `data: [DONE]` and no empty line mean it, and half a JSON text will not parse.
    pub(super) fn last_event(&mut self) -> Result<Option<SseEvent<'_>>, TooLong> {
        self.push(b"\n\n");
        self.next_event()
    }

    /// Where the next line is, without its end; none until it is whole.
    fn next_line(&mut self) -> Result<Option<(usize, usize)>, TooLong> {
        if self.after_return && self.next < self.buffer.len() {
            if self.buffer[self.next] == b'\n' {
                self.next += 1;
            }
            self.after_return = false;
        }
        self.searched = self.searched.max(self.next);
        let Some(offset) = memchr2(b'\n', b'\r', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return if self.searched - self.next > self.longest {
                Err(TooLong(self.longest))
            } else {
                Ok(None)
            };
        };
        let end = self.searched + offset;
        let mut begin = self.next;
        self.after_return = self.buffer[end] == b'\r';
        self.next = end + 1;
        self.searched = self.next;
        if self.first_line {
            self.first_line = false;
            if self.buffer[begin..end].starts_with(BYTE_ORDER_MARK) {
                begin += BYTE_ORDER_MARK.len();
            }
        }
        if end - begin > self.longest {
            Err(TooLong(self.longest))
        } else {
            Ok(Some((begin, end)))
        }
    }

    fn forget_event(&mut self) {
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        self.handed_out = false;
    }
}

/// `field: value`, with one space after the colon taken off. A comment is a field without a name.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
        None => (line, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = Vec<(String, String)>;

    /// Every event, with the bytes pushed in pieces of `size`.
    fn read(bytes: &[u8], size: usize) -> Result<Owned, TooLong> {
        let owned = |event: SseEvent<'_>| {
            (
                String::from_utf8_lossy(event.name).into_owned(),
                String::from_utf8_lossy(event.data).into_owned(),
            )
        };
        let mut reader = SseReader::new(64);
        let mut events = Vec::new();
        for piece in bytes.chunks(size) {
            reader.push(piece);
            while let Some(event) = reader.next_event()? {
                events.push(owned(event));
            }
        }
        events.extend(reader.last_event()?.map(owned));
        Ok(events)
    }

    fn data(events: &[&str]) -> Owned {
        events
            .iter()
            .map(|data| (String::new(), (*data).to_owned()))
            .collect()
    }

    #[test]
    fn the_same_events_however_the_bytes_are_cut() {
        let text = "\u{FEFF}data: one\n\n: keep-alive\n\ndata: two\r\ndata:2\r\n\r\nevent: error\nid: 7\nretry: 9\n\
                    data:  three\n\ndata: four\r\rdata\n\nevent: lost\n\nunknown: x\ndata: \u{e9}\n\n";
        let mut expected = data(&["one", "two\n2", " three", "four", "", "\u{e9}"]);
        expected[2].0 = "error".to_owned();
        for size in 1..=text.len() {
            assert_eq!(read(text.as_bytes(), size).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn the_end_closes_an_open_event() {
        for open in [
            "data: [DONE]",
            "data: [DONE]\n",
            "data: [DONE]\r",
            "data: [DONE]\r\n",
            "data: [DONE]\n\n",
        ] {
            assert_eq!(read(open.as_bytes(), 5).unwrap(), data(&["[DONE]"]), "{open:?}");
        }
        assert_eq!(read(b": nothing\n", 3).unwrap(), data(&[]));
        assert_eq!(read(b"", 1).unwrap(), data(&[]));
    }

    #[test]
    fn lines_and_events_are_bounded() {
        let fits = format!("data: {}\n\n", "x".repeat(50));
        assert_eq!(read(fits.as_bytes(), 7).unwrap(), data(&[&"x".repeat(50)]));
        let line = format!("data: {}", "x".repeat(100));
        assert_eq!(read(line.as_bytes(), 7), Err(TooLong(64)));
        assert_eq!(read(format!("{line}\n\n").as_bytes(), 1000), Err(TooLong(64)));
        let many = "data: 0123456789\n".repeat(10);
        assert_eq!(read(many.as_bytes(), 1000), Err(TooLong(64)));
        let comment = format!(":{}", "x".repeat(100));
        assert_eq!(read(comment.as_bytes(), 7), Err(TooLong(64)));
    }

    #[test]
    fn what_was_read_is_not_kept() {
        let mut reader = SseReader::new(64);
        for _ in 0..10_000 {
            reader.push(b": keep-alive\n\ndata: x\n\ndata: y\n");
            while reader.next_event().unwrap().is_some() {}
            reader.push(b"\n");
            while reader.next_event().unwrap().is_some() {}
        }
        assert!(reader.buffer.capacity() < 256, "{}", reader.buffer.capacity());
        assert!(reader.data.capacity() < 256, "{}", reader.data.capacity());
    }
}
