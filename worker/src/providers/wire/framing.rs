//! Events, however the bytes are cut into them. Knows nothing of what they say.

use super::event_stream::{BadMessage, EventStreamReader};
use super::fault::Fault;
use super::sse::{SseEvent, SseReader, TooLong};
use crate::providers::dialect::Framing;

/// Of one line, event or message of a stream.
const MOST_EVENT_BYTES: usize = 1024 * 1024;

/// One event, borrowed from the reader until it is asked for the next.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) name: &'a [u8],
    /// Without white space around it. Some servers keep the line alive with events that have none.
    pub(super) data: &'a [u8],
    /// Whether the framing says that it is an error.
    pub(super) is_error: bool,
}

/// Cuts a stream into events.
#[derive(Debug)]
pub(super) enum Events {
    Sse(SseReader),
    Aws(EventStreamReader),
}

impl Events {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Sse => Self::Sse(SseReader::new(MOST_EVENT_BYTES)),
            Framing::AwsEventStream => Self::Aws(EventStreamReader::new(MOST_EVENT_BYTES)),
        }
    }

    /// Adds bytes as they came. Take all events out before adding more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Sse(reader) => reader.push(bytes),
            Self::Aws(reader) => reader.push(bytes),
        }
    }

    /// The next whole event; none until more bytes are pushed.
    pub(super) fn next(&mut self) -> Result<Option<Event<'_>>, Fault> {
        match self {
            Self::Sse(reader) => sse(reader.next_event()),
            Self::Aws(reader) => match reader.next_message() {
                Ok(message) => Ok(message.map(|message| Event {
                    name: message.name,
                    data: message.payload.trim_ascii(),
                    is_error: message.is_error,
                })),
                Err(error @ BadMessage::TooLong(_)) => Err(Fault::too_large(error.to_string())),
                Err(error @ BadMessage::Corrupt(_)) => Err(Fault::malformed(error.to_string())),
            },
        }
    }

    /// The event that the end of the stream left open, if the framing lets an event end that way.
    pub(super) fn last(&mut self) -> Result<Option<Event<'_>>, Fault> {
        match self {
            Self::Sse(reader) => sse(reader.last_event()),
            Self::Aws(reader) if reader.is_within_message() => {
                Err(Fault::interrupted("the stream ended within a message"))
            }
            Self::Aws(_) => Ok(None),
        }
    }
}

fn sse(event: Result<Option<SseEvent<'_>>, TooLong>) -> Result<Option<Event<'_>>, Fault> {
    match event {
        Ok(event) => Ok(event.map(|SseEvent { name, data }| {
            let data = data.trim_ascii();
            Event {
                name,
                data,
                is_error: name == b"error" && !data.is_empty(),
            }
        })),
        Err(error) => Err(Fault::too_large(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::ErrorKind;

    /// A message without headers, as botocore's tests have it.
    const MESSAGE: &[u8] = b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96";

    #[test]
    fn a_named_error_is_one_unless_it_says_nothing() {
        let mut events = Events::new(Framing::Sse);
        events.push(b"event: error\ndata:\n\nevent: error\ndata: x \n\nevent: ping\ndata: y\n\n");
        for (data, is_error) in [(&b""[..], false), (b"x", true), (b"y", false)] {
            let event = events.next().unwrap().unwrap();
            assert_eq!((event.data, event.is_error), (data, is_error));
        }
        assert!(events.next().unwrap().is_none());
    }

    #[test]
    fn an_end_within_a_message_is_a_break() {
        let mut events = Events::new(Framing::AwsEventStream);
        events.push(MESSAGE);
        assert_eq!(events.next().unwrap().unwrap().data, b"{'foo':'bar'}");
        assert!(events.next().unwrap().is_none() && events.last().unwrap().is_none());
        events.push(&MESSAGE[..20]);
        assert!(events.next().unwrap().is_none());
        assert_eq!(events.last().unwrap_err().kind, ErrorKind::Interrupted);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let mut events = Events::new(Framing::AwsEventStream);
        events.push(b"<html>not at all</html>");
        assert_eq!(events.next().unwrap_err().kind, ErrorKind::Malformed);
        let mut events = Events::new(Framing::Sse);
        events.push(&vec![b'x'; MOST_EVENT_BYTES + 1]);
        assert_eq!(events.next().unwrap_err().kind, ErrorKind::TooLarge);
    }
}
