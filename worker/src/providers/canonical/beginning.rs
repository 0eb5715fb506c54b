//! An answer that goes on from a given beginning, where a provider refuses white space at the end of that: it is not
//! sent, and taken off again where the model says it.

/// The white space that was not sent.
#[derive(Debug, Default)]
pub(in crate::providers) struct Unsent(String);

impl Unsent {
    /// What can be sent of a beginning, and what not.
    pub(in crate::providers) fn split(beginning: &str) -> (&str, Self) {
        let sent = beginning.trim_end();
        (sent, Self(beginning[sent.len()..].to_owned()))
    }

    /// The next text of the answer without what it repeats.
    pub(in crate::providers) fn take_off(&mut self, text: String) -> String {
        if self.0.is_empty() || text.is_empty() {
            return text;
        }
        let same = self
            .0
            .chars()
            .zip(text.chars())
            .take_while(|(said, says)| said == says);
        let length: usize = same.map(|(letter, _)| letter.len_utf8()).sum();
        if length == text.len() {
            self.0.drain(..length);
            return String::new();
        }
        self.0.clear();
        text[length..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_comes_once() {
        for (beginning, pieces, rest) in [
            ("One,\n\n", vec!["\n", "\ntwo"], "two"),
            ("One, ", vec!["two", " three"], "two three"),
            ("One,\n ", vec!["\n", "\ttwo"], "\ttwo"),
            ("One, ", vec!["", " two"], "two"),
            ("One,", vec![" two"], " two"),
        ] {
            let (sent, mut unsent) = Unsent::split(beginning);
            assert_eq!(sent, "One,");
            let said: String = pieces
                .into_iter()
                .map(|piece| unsent.take_off(piece.to_owned()))
                .collect();
            assert_eq!(said, rest, "{beginning:?}");
        }
    }
}
