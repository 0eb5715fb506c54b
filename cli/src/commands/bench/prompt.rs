//! The prompt of a run: it names the generator and the run, so that both are known again where the provider is called.
//! All prompts are equally long, so that they cost the same.

use memchr::memmem;

const BEGINNING: &str = "bench-";
const DIGITS: usize = 16;

/// One process that sends a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sender(u64);

impl Sender {
    /// `id` differs from that of every other generator that sends to the same workers: a random number does.
    pub(super) fn new(id: u64) -> Self {
        Self(id)
    }

    /// The prompt of run number 0.
    pub(super) fn prompt(self) -> String {
        format!("{}{:0DIGITS$x}", self.beginning(), 0)
    }

    /// Where the number begins in a text that holds [`Sender::prompt`].
    pub(super) fn number_at(self, text: &str) -> Option<usize> {
        let beginning = self.beginning();
        Some(text.find(&beginning)? + beginning.len())
    }

    /// Writes a number in place of the one that stands at `at`.
    pub(super) fn write(text: &mut [u8], at: usize, number: u64) {
        let digits = format!("{number:0DIGITS$x}");
        text[at..at + DIGITS].copy_from_slice(digits.as_bytes());
    }

    /// The number of the run, if `body` holds a prompt of this sender.
    pub(super) fn number_in(self, body: &[u8]) -> Option<u64> {
        let beginning = self.beginning();
        let at = memmem::find(body, beginning.as_bytes())? + beginning.len();
        let digits = std::str::from_utf8(body.get(at..at + DIGITS)?).ok()?;
        u64::from_str_radix(digits, 16).ok()
    }

    fn beginning(self) -> String {
        format!("{BEGINNING}{:0DIGITS$x}-", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_knows_its_own_runs_only() {
        let (mine, other) = (Sender::new(0xabc), Sender::new(0xdef));
        let mut text = format!("[\"{}\"]", mine.prompt());
        let at = mine.number_at(&text).unwrap();
        let mut body = std::mem::take(&mut text).into_bytes();
        Sender::write(&mut body, at, 0xbeef);
        assert_eq!(
            (mine.number_in(&body), other.number_in(&body)),
            (Some(0xbeef), None)
        );
        assert_eq!(mine.number_in(&body[..at + 3]), None);
        assert_eq!(body, *b"[\"bench-0000000000000abc-000000000000beef\"]");
    }
}
