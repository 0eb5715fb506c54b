//! AWS's framing of a stream, `application/vnd.amazon.eventstream`: messages with a length, typed headers, a payload
//! and two CRC-32 sums. Knows nothing of what is in a payload, and copies none of it.
//!
//! A message is `total length u32 | headers length u32 | CRC-32 of these 8 bytes | headers | payload | CRC-32 of all
//! before it`, everything big-endian; a header is `length of the name u8 | name | type u8 | value`. Source: "Amazon
//! Event Stream Specification" in the Smithy documentation
//! (smithy.io/2.0/aws/amazon-eventstream.html), which also says what `:message-type` may be.

const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// One message, borrowed from the reader until it is asked for the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The value of `:event-type`; of `:exception-type` or `:error-code` where it reports an error.
    pub(super) name: &'a [u8],
    /// The payload; of an error without one, its `:error-message`.
    pub(super) payload: &'a [u8],
    /// Whether it is an exception or error in place of an event.
    pub(super) is_error: bool,
}

/// Why bytes are no messages.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadMessage {
    /// Larger than the reader's bound.
    #[error("a message of more than {0} bytes")]
    TooLong(usize),
    /// Lengths that cannot be, a header cut short, a sum that does not match.
    #[error("an event stream message with {0}")]
    Corrupt(&'static str),
}

/// Splits a stream into messages.
#[derive(Debug)]
pub(super) struct EventStreamReader {
    longest: usize,
    buffer: Vec<u8>,
    /// Where in `buffer` the next message begins.
    next: usize,
}

impl EventStreamReader {
    /// A reader that refuses messages of more than `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self {
            longest,
            buffer: Vec::new(),
            next: 0,
        }
    }

    /// Adds bytes as they came. Take all messages out before adding more: that is what bounds the buffer.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.next);
        self.next = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes of a message are left that is not whole.
    pub(super) fn is_within_message(&self) -> bool {
        self.next < self.buffer.len()
    }

    /// The next whole message; none until more bytes are pushed.
    pub(super) fn next_message(&mut self) -> Result<Option<Message<'_>>, BadMessage> {
        let rest = &self.buffer[self.next..];
        let Some((prelude, _)) = rest.split_at_checked(PRELUDE) else {
            return Ok(None);
        };
        if number(&prelude[8..]) != Some(crc32fast::hash(&prelude[..8])) {
            return Err(BadMessage::Corrupt("a prelude whose checksum does not match"));
        }
        let length = |bytes: &[u8]| {
            let length = number(bytes).and_then(|length| usize::try_from(length).ok());
            length.ok_or(BadMessage::TooLong(self.longest))
        };
        let (total, headers) = (length(prelude)?, length(&prelude[4..])?);
        if total > self.longest {
            return Err(BadMessage::TooLong(self.longest));
        }
        let Some(payload_length) = total.checked_sub(PRELUDE + CHECKSUM + headers.min(total)) else {
            return Err(BadMessage::Corrupt("lengths that contradict each other"));
        };
        let Some((message, _)) = rest.split_at_checked(total) else {
            return Ok(None);
        };
        let (summed, sum) = message.split_at(total - CHECKSUM);
        if number(sum) != Some(crc32fast::hash(summed)) {
            return Err(BadMessage::Corrupt("a checksum that does not match"));
        }
        self.next += total;
        let (headers, payload) = summed[PRELUDE..].split_at(summed.len() - PRELUDE - payload_length);
        read(headers, payload).map(Some)
    }
}

/// The message that its headers describe.
fn read<'a>(headers: &'a [u8], payload: &'a [u8]) -> Result<Message<'a>, BadMessage> {
    let (mut event, mut exception, mut code, mut text) = (None, None, None, None);
    let mut is_error = false;
    let mut rest = headers;
    while !rest.is_empty() {
        let header = header(&mut rest).ok_or(BadMessage::Corrupt("a header cut short"))?;
        match header {
            (b":message-type", value) => is_error = value == b"exception" || value == b"error",
            (b":event-type", value) => event = Some(value),
            (b":exception-type", value) => exception = Some(value),
            (b":error-code", value) => code = Some(value),
            (b":error-message", value) => text = Some(value),
            _ => {}
        }
    }
    let name = if is_error { exception.or(code) } else { event };
    Ok(Message {
        name: name.unwrap_or_default(),
        payload: if payload.is_empty() && is_error {
            text.unwrap_or_default()
        } else {
            payload
        },
        is_error,
    })
}

/// Takes one header off: its name, and its value where that is text or bytes, else nothing.
fn header<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let length = usize::from(take(rest, 1)?[0]);
    let name = take(rest, length)?;
    let value = match take(rest, 1)?[0] {
        // True and false.
        0 | 1 => b"".as_slice(),
        // Integers of 8, 16, 32 and 64 bits, a timestamp, a UUID.
        kind @ (2 | 3 | 4 | 5 | 8 | 9) => {
            let size = match kind {
                2 => 1,
                3 => 2,
                4 => 4,
                9 => 16,
                _ => 8,
            };
            take(rest, size)?;
            b""
        }
        // Bytes and text.
        6 | 7 => {
            let length = take(rest, 2)?;
            take(rest, usize::from(u16::from_be_bytes([length[0], length[1]])))?
        }
        _ => return None,
    };
    Some((name, value))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// The number that the first four bytes are.
fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Written down in botocore's own tests (tests/unit/test_eventstream.py, Apache-2.0), so that the two sums are
    // not only checked against the crate that computes ours.
    const EMPTY: &[u8] = b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff";
    const INT32_HEADER: &[u8] =
        b"\x00\x00\x00+\x00\x00\x00\x0e4\x8b\xec{\x08event-id\x04\x00\x00\xa0\x0c{'foo':'bar'}\xd3\x89\x02\x85";
    const NO_HEADERS: &[u8] = b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96";

    type Owned = (String, String, bool);

    fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let total = PRELUDE + headers.len() + payload.len() + CHECKSUM;
        let mut bytes = u32::try_from(total).unwrap().to_be_bytes().to_vec();
        bytes.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend(headers);
        bytes.extend(payload);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn text_headers(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in pairs {
            bytes.push(u8::try_from(name.len()).unwrap());
            bytes.extend(name.as_bytes());
            bytes.push(7);
            bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend(value.as_bytes());
        }
        bytes
    }

    /// Every message, with the bytes pushed in pieces of `size`.
    fn read_all(bytes: &[u8], size: usize) -> Result<Vec<Owned>, BadMessage> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut reader = EventStreamReader::new(1024);
        let mut messages = Vec::new();
        for piece in bytes.chunks(size) {
            reader.push(piece);
            while let Some(message) = reader.next_message()? {
                messages.push((text(message.name), text(message.payload), message.is_error));
            }
        }
        assert!(!reader.is_within_message());
        Ok(messages)
    }

    fn owned(name: &str, payload: &str, is_error: bool) -> Owned {
        (name.to_owned(), payload.to_owned(), is_error)
    }

    #[test]
    fn the_same_messages_however_the_bytes_are_cut() {
        let delta = message(
            &text_headers(&[
                (":event-type", "contentBlockDelta"),
                (":content-type", "application/json"),
                (":message-type", "event"),
            ]),
            b"{}",
        );
        let exception = message(
            &text_headers(&[
                (":exception-type", "throttlingException"),
                (":message-type", "exception"),
            ]),
            br#"{"message":"slow down"}"#,
        );
        let error = message(
            &text_headers(&[
                (":error-code", "code"),
                (":error-message", "message"),
                (":message-type", "error"),
            ]),
            b"",
        );
        let stream = [EMPTY, INT32_HEADER, NO_HEADERS, &delta, &exception, &error].concat();
        let expected = [
            owned("", "", false),
            owned("", "{'foo':'bar'}", false),
            owned("", "{'foo':'bar'}", false),
            owned("contentBlockDelta", "{}", false),
            owned("throttlingException", r#"{"message":"slow down"}"#, true),
            owned("code", "message", true),
        ];
        for size in 1..=stream.len() {
            assert_eq!(read_all(&stream, size).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn every_type_of_header_is_stepped_over() {
        let mut headers = Vec::new();
        for (kind, size) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
            headers.extend([1, b'h', kind]);
            headers.extend(vec![0xff; size]);
        }
        headers.extend(b"\x01b\x06\x00\x03\xff\xff\xff");
        headers.extend(text_headers(&[(":event-type", "last")]));
        let messages = read_all(&message(&headers, b"x"), 7).unwrap();
        assert_eq!(messages, [owned("last", "x", false)]);
        for cut in [
            "\x01h",
            "\x01h\x0a",
            "\x05h",
            "\x01h\x07\x00\x09x",
            "\x01h\x05\x00",
        ] {
            assert_eq!(
                read_all(&message(cut.as_bytes(), b""), 99),
                Err(BadMessage::Corrupt("a header cut short")),
                "{cut:?}"
            );
        }
    }

    #[test]
    fn no_byte_may_change() {
        for at in 0..INT32_HEADER.len() {
            let mut changed = INT32_HEADER.to_vec();
            changed[at] ^= 0x10;
            let read = read_all(&changed, 99);
            assert!(matches!(read, Err(BadMessage::Corrupt(_))), "byte {at}: {read:?}");
        }
    }

    #[test]
    fn lengths_are_believed_only_within_reason() {
        let claim = |total: u32, headers: u32| {
            let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            read_all(&bytes, 99)
        };
        for total in [1025, u32::MAX] {
            assert_eq!(claim(total, 0), Err(BadMessage::TooLong(1024)));
        }
        for (total, headers) in [(0, 0), (15, 0), (16, 1), (100, 85), (100, u32::MAX)] {
            assert_eq!(
                claim(total, headers),
                Err(BadMessage::Corrupt("lengths that contradict each other")),
                "{total} {headers}"
            );
        }
    }

    #[test]
    fn what_was_read_is_not_kept() {
        let mut reader = EventStreamReader::new(1024);
        for _ in 0..10_000 {
            reader.push(NO_HEADERS);
            reader.push(&INT32_HEADER[..20]);
            while reader.next_message().unwrap().is_some() {}
            reader.push(&INT32_HEADER[20..]);
            while reader.next_message().unwrap().is_some() {}
        }
        assert!(reader.buffer.capacity() < 256, "{}", reader.buffer.capacity());
    }
}
