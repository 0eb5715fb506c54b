//! As much of Redis's wire protocol (RESP2 and RESP3, https://redis.io/docs/latest/develop/reference/protocol-spec/) as
//! it takes to tell where a frame ends and whether it is a message of pub/sub.

/// The length of the first frame; none when it is not there as a whole.
///
/// # Panics
/// When this is no frame.
pub(super) fn frame(bytes: &[u8]) -> Option<usize> {
    let kind = *bytes.first()?;
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let head = line + 2;
    let count = || -> Option<usize> {
        let text = std::str::from_utf8(&bytes[1..line]).expect("a number");
        // A negative length is how RESP2 says null: nothing follows.
        usize::try_from(text.parse::<i64>().expect("a number")).ok()
    };
    match kind {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Some(head),
        b'$' | b'=' | b'!' => {
            let whole = count().map_or(head, |length| head + length + 2);
            (bytes.len() >= whole).then_some(whole)
        }
        b'*' | b'~' | b'>' => frames(bytes, head, count().unwrap_or(0)),
        b'%' => frames(bytes, head, 2 * count().unwrap_or(0)),
        // Attributes belong to the frame after them.
        b'|' => frames(bytes, head, 2 * count().unwrap_or(0) + 1),
        other => panic!("no frame of RESP: {:?}", char::from(other)),
    }
}

fn frames(bytes: &[u8], from: usize, count: usize) -> Option<usize> {
    (0..count).try_fold(from, |at, _| Some(at + frame(&bytes[at..])?))
}

/// Whether this frame hands over what was published. Confirmations of (un)subscribing are pushes as well, and are not.
pub(super) fn is_message(frame: &[u8]) -> bool {
    if !matches!(frame.first(), Some(b'>' | b'*')) {
        return false;
    }
    let mut lines = frame.split(|byte| *byte == b'\n');
    let second = lines.nth(2).unwrap_or_default();
    [&b"message\r"[..], b"smessage\r", b"pmessage\r"].contains(&second)
}

#[test]
fn frames_end_where_they_end() {
    let whole: [&[u8]; 14] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-12\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        b"%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n",
        b"|1\r\n+a\r\n:1\r\n$2\r\nhi\r\n",
        b">3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n",
    ];
    for bytes in whole {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(
            frame(&[bytes, b"+next\r\n"].concat()),
            Some(bytes.len()),
            "{shown}"
        );
        for length in 0..bytes.len() {
            assert_eq!(frame(&bytes[..length]), None, "{shown} cut to {length}");
        }
    }
}

#[test]
fn only_what_was_published_is_a_message() {
    for kind in ["message", "smessage", "pmessage"] {
        let rest = format!("${}\r\n{kind}\r\n$1\r\nc\r\n$1\r\nx\r\n", kind.len());
        assert!(is_message(format!(">3\r\n{rest}").as_bytes()), "{kind}");
        assert!(is_message(format!("*3\r\n{rest}").as_bytes()), "{kind}");
        assert!(!is_message(rest.as_bytes()), "{kind}");
    }
    assert!(!is_message(b">3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n"));
    assert!(!is_message(b"+message\r\n"));
    assert!(!is_message(b">0\r\n"));
}
