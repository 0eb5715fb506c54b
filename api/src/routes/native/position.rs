//! Where a reader of a log wants to go on: after a cursor it was given earlier, or at the beginning.

use http::HeaderMap;
use shared::domain::{Cursor, CursorError};

use crate::problem::{Code, Problem};

/// What an `EventSource` says by itself when it comes back.
const LAST_EVENT_ID: &str = "last-event-id";

/// A cursor as a client wrote it; the beginning when it wrote none.
pub(super) fn parse(after: Option<&str>) -> Result<Cursor, CursorError> {
    after.map_or(Ok(Cursor::START), str::parse)
}

/// From `?after=` and `Last-Event-ID`. The header wins: a browser that comes back asks for the same address as the
/// first time, and says by the header how far it came since.
pub(super) fn of_request(after: Option<&str>, headers: &HeaderMap) -> Result<Cursor, Problem> {
    // An empty header is how a browser says that no event had an id.
    let header = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty());
    let (field, text) = match header {
        Some(value) => ("Last-Event-ID", Some(value.to_str().unwrap_or_default())),
        None => ("after", after),
    };
    parse(text).map_err(|error| {
        Problem::new(Code::InvalidCursor)
            .detail(error.to_string())
            .field(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &[u8]) -> HeaderMap {
        let value = http::HeaderValue::from_bytes(value).unwrap();
        HeaderMap::from_iter([(http::HeaderName::from_static(LAST_EVENT_ID), value)])
    }

    #[test]
    fn the_header_says_how_far_the_reader_came_since() {
        assert_eq!(of_request(None, &HeaderMap::new()), Ok(Cursor::START));
        assert_eq!(of_request(Some("1-4"), &HeaderMap::new()), Ok(Cursor::new(1, 4)));
        assert_eq!(of_request(Some("1-4"), &header(b"1-9")), Ok(Cursor::new(1, 9)));
        assert_eq!(of_request(Some("1-4"), &header(b"")), Ok(Cursor::new(1, 4)));
    }

    #[test]
    fn what_is_not_a_cursor_is_refused_wherever_it_stands() {
        assert_eq!(
            of_request(Some(""), &HeaderMap::new()).unwrap_err().code(),
            Code::InvalidCursor
        );
        for bad in [&b"1-"[..], b"one", b"\xff"] {
            assert_eq!(
                of_request(Some("1-4"), &header(bad)).unwrap_err().code(),
                Code::InvalidCursor
            );
        }
    }
}
