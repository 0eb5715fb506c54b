//! Plausible English from a seed: the words of an answer, one token at a time.
//!
//! The generator is spelled out here instead of taken from a crate because the text is a promise: recorded
//! conversations and expectations in tests must survive an upgrade of a random number library.
//! Must never depend on anything but the seed and the messages.

use std::vec;

const OPENERS: &[&str] = &["the", "this", "each", "every", "one", "another", "that", "no"];
const ADJECTIVES: &[&str] = &[
    "careful", "small", "steady", "quiet", "useful", "plain", "early", "patient", "shared", "simple",
    "solid", "bright", "narrow", "honest", "modest", "curious",
];
const NOUNS: &[&str] = &[
    "answer", "river", "team", "plan", "question", "window", "signal", "garden", "reader", "letter",
    "bridge", "worker", "ledger", "machine", "morning", "harbour", "market", "compass",
];
const VERBS: &[&str] = &[
    "follows",
    "keeps",
    "carries",
    "explains",
    "finds",
    "repeats",
    "supports",
    "measures",
    "joins",
    "reaches",
    "guides",
    "remembers",
    "replaces",
    "describes",
];
const PLACES: &[&str] = &[
    "near", "behind", "beyond", "beside", "before", "after", "within", "without",
];

const SENTENCES: &[&[&[&str]]] = &[
    &[OPENERS, ADJECTIVES, NOUNS, VERBS, OPENERS, NOUNS],
    &[
        OPENERS, NOUNS, VERBS, OPENERS, ADJECTIVES, NOUNS, PLACES, OPENERS, NOUNS,
    ],
    &[
        PLACES, OPENERS, NOUNS, OPENERS, ADJECTIVES, NOUNS, VERBS, OPENERS, NOUNS,
    ],
    &[
        OPENERS, NOUNS, PLACES, OPENERS, NOUNS, VERBS, OPENERS, ADJECTIVES, NOUNS,
    ],
];

/// At most so many words of the prompt are echoed, each shortened to so many characters.
const ECHOED_WORDS: usize = 6;
const ECHOED_CHARS: usize = 24;

/// The text that the simulator answers to a single user message, for a given number of tokens.
///
/// Shorter answers are beginnings of longer ones, so this is also what a cut answer begins with.
#[must_use]
pub fn expected_text(seed: u64, prompt: &str, tokens: u32) -> String {
    let mut words = Words::new(seed, [("user", prompt)], prompt);
    let mut text = String::new();
    for _ in 0..tokens {
        words.push_next(&mut text);
    }
    text
}

/// The endless sequence of an answer's tokens. A token is a word with the space before it and the mark after it.
#[derive(Debug)]
pub(crate) struct Words {
    random: SplitMix64,
    echo: vec::IntoIter<String>,
    sentence: &'static [&'static [&'static str]],
    next_word: usize,
    begun: bool,
}

impl Words {
    /// `conversation` is every message as (role, text); `prompt` is the message whose first words are echoed.
    pub(crate) fn new<'a>(
        seed: u64,
        conversation: impl IntoIterator<Item = (&'a str, &'a str)>,
        prompt: &str,
    ) -> Self {
        let mut hash = Fnv1a::new();
        hash.write(&seed.to_le_bytes());
        for (role, text) in conversation {
            // 0xff never occurs in UTF-8: no two conversations run together.
            for part in [role, text] {
                hash.write(part.as_bytes());
                hash.write(&[0xff]);
            }
        }
        Self {
            random: SplitMix64(hash.0),
            echo: echo(prompt).into_iter(),
            sentence: &[],
            next_word: 0,
            begun: false,
        }
    }

    /// Appends the next token.
    pub(crate) fn push_next(&mut self, out: &mut String) {
        if self.begun {
            out.push(' ');
        }
        self.begun = true;
        if let Some(word) = self.echo.next() {
            out.push_str(&word);
            return;
        }
        if self.next_word == self.sentence.len() {
            self.sentence = self.random.pick(SENTENCES);
            self.next_word = 0;
        }
        let word = self.random.pick(self.sentence[self.next_word]);
        if self.next_word == 0 {
            // The word lists are ASCII.
            out.push(char::from(word.as_bytes()[0].to_ascii_uppercase()));
            out.push_str(&word[1..]);
        } else {
            out.push_str(word);
        }
        self.next_word += 1;
        if self.next_word == self.sentence.len() {
            out.push('.');
        }
    }
}

/// `About “how do rivers run…”:` word by word; nothing for an empty prompt.
fn echo(prompt: &str) -> Vec<String> {
    let mut all = prompt
        .split_whitespace()
        .map(|word| {
            word.chars()
                .filter(|c| !c.is_control())
                .take(ECHOED_CHARS)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty());
    let mut words: Vec<String> = all.by_ref().take(ECHOED_WORDS).collect();
    let more = all.next().is_some();
    let Some(first) = words.first_mut() else {
        return Vec::new();
    };
    first.insert(0, '“');
    if let Some(last) = words.last_mut() {
        last.push_str(if more { "…”:" } else { "”:" });
    }
    words.insert(0, "About".to_owned());
    words
}

/// FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
struct Fnv1a(u64);

impl Fnv1a {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `choices`, which must not be empty. The bias of the remainder does not matter for word lists.
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.next() % choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_generators() {
        let mut hash = Fnv1a::new();
        hash.write(b"foobar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_text_is_a_promise() {
        assert_eq!(
            expected_text(1, "How do rivers find the sea?", 12),
            "About “How do rivers find the sea?”: Each reader finds one honest",
        );
    }

    #[test]
    fn depends_on_seed_and_prompt_and_grows_by_appending() {
        let text = expected_text(1, "hello", 40);
        assert_ne!(text, expected_text(2, "hello", 40));
        assert_ne!(text, expected_text(1, "hello there", 40));
        assert!(text.starts_with(&expected_text(1, "hello", 39)));
        assert_eq!(text.split(' ').count(), 40);
    }

    #[test]
    fn echoes_a_little_of_any_prompt() {
        assert_eq!(expected_text(1, "a b c d e f g", 7), "About “a b c d e f…”:");
        assert_eq!(expected_text(1, "\0 one\u{7}two ", 2), "About “onetwo”:");
        assert_eq!(
            echo(&"x".repeat(100))[1].chars().filter(|c| *c == 'x').count(),
            ECHOED_CHARS
        );
        assert!(!expected_text(1, "", 3).contains("About"));
        assert!(!expected_text(1, " \n", 3).contains("About"));
    }
}
