//! Counts tokens as OpenAI's models do, for those whose vocabulary is published. A vocabulary is loaded when a run first
//! needs it, in the background: until it is there, and for models of other makers, an approximation answers. Never makes
//! a submit wait, and never counts more of a text than a fixed amount.

mod vocabulary;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use bpe_openai::Tokenizer;
use tokio_util::task::TaskTracker;

pub(super) use vocabulary::Vocabulary;

/// Bytes of a prompt that are counted. The rest is taken to be like them: a prompt may be megabytes, and counting it
/// would hold up the thread it is counted on. So many take half a millisecond, and the most contrived text three.
const COUNTED: usize = 16 * 1_024;

/// The vocabularies, each from when it is first asked for. What is loaded stays.
#[derive(Debug)]
pub(super) struct Tokenizers {
    o200k: Shelf,
    cl100k: Shelf,
    tracker: TaskTracker,
}

impl Tokenizers {
    /// Loads nothing yet; what is loaded later is loaded by tasks on `tracker`.
    pub(super) fn new(tracker: &TaskTracker) -> Self {
        Self {
            o200k: Shelf::of(bpe_openai::o200k_base),
            cl100k: Shelf::of(bpe_openai::cl100k_base),
            tracker: tracker.clone(),
        }
    }

    /// Tokens in these texts together; none while the vocabulary is not there. The first to ask has it loaded.
    pub(super) fn count<'t>(
        &self,
        vocabulary: Vocabulary,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Option<u32> {
        let shelf = match vocabulary {
            Vocabulary::O200k => &self.o200k,
            Vocabulary::Cl100k => &self.cl100k,
        };
        Some(bounded(shelf.get(&self.tracker)?, texts))
    }
}

/// Room for one vocabulary.
#[derive(Debug)]
struct Shelf {
    load: fn() -> &'static Tokenizer,
    asked: AtomicBool,
    loaded: Arc<OnceLock<Loaded>>,
}

/// A vocabulary in memory.
#[derive(Clone, Copy)]
struct Loaded(&'static Tokenizer);

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded")
    }
}

impl Shelf {
    fn of(load: fn() -> &'static Tokenizer) -> Self {
        Self {
            load,
            asked: AtomicBool::new(false),
            loaded: Arc::default(),
        }
    }

    fn get(&self, tracker: &TaskTracker) -> Option<&'static Tokenizer> {
        let loaded = self.loaded.get().map(|loaded| loaded.0);
        if loaded.is_none() && !self.asked.swap(true, Relaxed) {
            let (load, room) = (self.load, Arc::clone(&self.loaded));
            // A tenth of a second of work: not for a thread that answers requests.
            tracker.spawn_blocking(move || {
                room.get_or_init(|| Loaded(load()));
            });
        }
        loaded
    }
}

/// Tokens in these texts: the first [`COUNTED`] bytes counted, the rest by their ratio.
fn bounded<'t>(tokenizer: &Tokenizer, texts: impl IntoIterator<Item = &'t str>) -> u32 {
    let (mut tokens, mut bytes, mut left) = (0, 0, 0);
    for text in texts {
        let (head, rest) = text.split_at(text.floor_char_boundary(COUNTED - bytes));
        if !head.is_empty() {
            tokens += tokenizer.count(head);
            bytes += head.len();
        }
        left += rest.len();
    }
    let by_ratio = left.saturating_mul(tokens).div_ceil(bytes.max(1));
    u32::try_from(tokens.saturating_add(by_ratio)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
