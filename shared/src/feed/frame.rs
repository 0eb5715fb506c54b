//! A commit as one message: for each entry a line `epoch-seq type milliseconds length`, then so many bytes of data and a
//! line feed. Text, so that a person can watch a channel; lengths, so that data is neither escaped nor searched.

use std::fmt::Write as _;
use std::sync::Arc;

use super::hub::MAX_KEPT_BYTES;
use crate::domain::{Cursor, EventType, LogEntry, Timestamp};

/// Room for the line before the data.
const HEAD: usize = 64;

/// Writes entries as a message. One that no subscriber would keep is empty: go and look.
pub(super) fn write(entries: &[LogEntry]) -> String {
    let weight: usize = entries.iter().map(|entry| entry.data.len()).sum();
    if weight > MAX_KEPT_BYTES {
        return String::new();
    }
    let mut text = String::with_capacity(weight + entries.len() * HEAD);
    for entry in entries {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {} {} {}",
            entry.cursor,
            entry.kind,
            entry.at.millis(),
            entry.data.len()
        );
        text.push_str(&entry.data);
        text.push('\n');
    }
    text
}

/// Reads a message back; none when it is not one, or is empty.
pub(super) fn read(message: &[u8]) -> Option<Arc<[LogEntry]>> {
    let mut rest = std::str::from_utf8(message).ok()?;
    let mut entries = Vec::with_capacity(1);
    while !rest.is_empty() {
        let (head, body) = rest.split_once('\n')?;
        let mut words = head.split(' ');
        let cursor: Cursor = words.next()?.parse().ok()?;
        let kind: EventType = words.next()?.parse().ok()?;
        let at = Timestamp::from_millis(words.next()?.parse().ok()?);
        let length: usize = words.next()?.parse().ok()?;
        let data = body.get(..length)?.into();
        rest = body.get(length..)?.strip_prefix('\n')?;
        entries.push(LogEntry {
            cursor,
            kind,
            at,
            data,
        });
    }
    (!entries.is_empty()).then(|| entries.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u32, data: &str) -> LogEntry {
        LogEntry {
            cursor: Cursor::new(7, seq),
            kind: EventType::OutputDelta,
            at: Timestamp::from_millis(1_700_000_000_123),
            data: data.into(),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let entries = [
            entry(2, "{\"text\":\"a\\nb 7-3 ü\"}"),
            entry(3, ""),
            entry(4, "\n\n"),
        ];
        assert_eq!(&*read(write(&entries).as_bytes()).unwrap(), &entries);
    }

    #[test]
    fn what_is_not_a_message_is_none() {
        let message = write(&[entry(2, "{\"text\":\"ü\"}")]);
        for cut in 0..message.len() {
            assert_eq!(read(&message.as_bytes()[..cut]), None, "cut at {cut}");
        }
        assert_eq!(read(b"\xff\n"), None);
        assert_eq!(read(b"1-2 output.delta 0 99999999999999999999\n{}\n"), None);
        assert_eq!(read(b"1-2 no.such 0 2\n{}\n"), None);
    }

    #[test]
    fn a_heavy_commit_says_look() {
        assert_eq!(write(&[entry(2, &"x".repeat(MAX_KEPT_BYTES + 1))]), "");
        assert!(!write(&[entry(2, &"x".repeat(MAX_KEPT_BYTES))]).is_empty());
    }
}
