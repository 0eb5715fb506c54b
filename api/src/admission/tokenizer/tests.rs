//! Counts against OpenAI's own program, and when a vocabulary is loaded.

use std::sync::atomic::AtomicU32;

use super::*;

/// By `o200k_base` and `cl100k_base`. The first four are published in OpenAI's cookbook, the others were counted with its
/// `tiktoken` 0.14.
const COUNTS: [(&str, u32, u32); 17] = [
    ("tiktoken is great!", 6, 6),
    ("antidisestablishmentarianism", 6, 6),
    ("2 + 2 = 4", 7, 7),
    ("お誕生日おめでとう", 8, 9),
    ("", 0, 0),
    ("Hello, world! It's 2026-11-21.", 13, 14),
    ("人工智能正在改变世界。", 6, 12),
    ("こんにちは、世界！今日はいい天気ですね。", 10, 17),
    ("안녕하세요 세계", 3, 9),
    ("Привет, как дела?", 6, 8),
    ("Zu viele Köche verderben den Brei – außer donnerstags.", 14, 18),
    ("👩‍👩‍👧‍👦 and 🇩🇪 and 🙂🙃", 20, 30),
    (
        "def add(a, b):\n    return a + b\n\n\nprint(add(1, 22333))\n",
        21,
        21,
    ),
    ("SELECT * FROM runs WHERE id = 'x';\r\n/* done */\n//\n", 15, 14),
    ("   \n \t  leading and trailing   ", 6, 6),
    ("camelCaseHTTPServer2 snake_case_name's I'LL", 11, 12),
    // A mark in a prompt is text like any other.
    ("<|endoftext|>", 7, 7),
];

/// Both vocabularies, loaded.
async fn loaded() -> Tokenizers {
    let tracker = TaskTracker::new();
    let tokenizers = Tokenizers::new(&tracker);
    for vocabulary in [Vocabulary::O200k, Vocabulary::Cl100k] {
        let _not_yet = tokenizers.count(vocabulary, [""]);
    }
    tracker.close();
    tracker.wait().await;
    tokenizers
}

#[tokio::test]
async fn tokens_are_counted_as_openai_counts_them() {
    let tokenizers = loaded().await;
    for (text, o200k, cl100k) in COUNTS {
        assert_eq!(
            tokenizers.count(Vocabulary::O200k, [text]),
            Some(o200k),
            "{text:?}"
        );
        assert_eq!(
            tokenizers.count(Vocabulary::Cl100k, [text]),
            Some(cl100k),
            "{text:?}"
        );
    }
    let all = COUNTS.iter().map(|(text, _, _)| *text);
    let sum = COUNTS.iter().map(|(_, o200k, _)| o200k).sum();
    assert_eq!(
        tokenizers.count(Vocabulary::O200k, all),
        Some(sum),
        "each by itself"
    );
}

#[tokio::test]
async fn only_the_vocabulary_that_is_needed_is_loaded() {
    let tracker = TaskTracker::new();
    let tokenizers = Tokenizers::new(&tracker);
    assert!(tracker.is_empty(), "nobody has asked");
    let first = tokenizers.count(Vocabulary::Cl100k, ["hello"]);
    assert_eq!(first, None, "whoever asks first does not wait");
    tracker.close();
    tracker.wait().await;
    assert_eq!(tokenizers.count(Vocabulary::Cl100k, ["hello"]), Some(1));
    assert!(!tokenizers.o200k.asked.load(Relaxed));
}

#[tokio::test]
async fn a_vocabulary_is_loaded_once() {
    static LOADED: AtomicU32 = AtomicU32::new(0);
    let tracker = TaskTracker::new();
    let shelf = Shelf::of(|| {
        LOADED.fetch_add(1, Relaxed);
        bpe_openai::cl100k_base()
    });
    for _again in 0..3 {
        let _either = shelf.get(&tracker);
    }
    tracker.close();
    tracker.wait().await;
    assert!(shelf.get(&tracker).is_some());
    assert!(tracker.is_empty(), "what is loaded stays");
    assert_eq!(LOADED.load(Relaxed), 1);
}

#[tokio::test]
async fn what_is_longer_than_is_counted_is_like_its_beginning() {
    let tokenizers = loaded().await;
    let count = |texts: &[&str]| tokenizers.count(Vocabulary::O200k, texts.iter().copied());
    // Four bytes and one token each.
    let words = " one".repeat(COUNTED);
    assert_eq!(count(&[&words]), Some(u32::try_from(COUNTED).unwrap()));
    // What comes after is not looked at: it could not have been so many tokens.
    let (counted, noise) = (&words[..COUNTED], "\u{1}\u{2}".repeat(COUNTED));
    let like_words = COUNTED / 4 + noise.len() / 4;
    assert_eq!(
        count(&[counted, &noise]),
        Some(u32::try_from(like_words).unwrap())
    );
    // A character of three bytes does not end where the counting does.
    let kanji = "世".repeat(COUNTED);
    assert_eq!(count(&[&kanji]), Some(u32::try_from(COUNTED).unwrap()));
}
