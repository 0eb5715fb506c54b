//! Labels as tags. A label may hold what a client wrote (a model's name): what would end a tag, a line or a name is
//! replaced, as Datadog itself replaces what it does not take.
//!
//! Source: <https://docs.datadoghq.com/getting_started/tagging/#define-tags>.

use std::borrow::Cow;

use metrics::{Key, Label};

/// Characters of a tag with its name that Datadog keeps.
const LONGEST: usize = 200;

/// The key with tags that cannot be mistaken for anything else.
pub(super) fn clean_key(key: &Key) -> Cow<'_, Key> {
    if key.labels().all(|label| is_clean(label.value())) {
        return Cow::Borrowed(key);
    }
    let label = |label: &Label| Label::new(label.key().to_owned(), clean(label.value()));
    let labels: Vec<Label> = key.labels().map(label).collect();
    Cow::Owned(Key::from_parts(key.name().to_owned(), labels))
}

/// A tag's value.
pub(super) fn clean(value: &str) -> String {
    value
        .chars()
        .take(LONGEST)
        .map(|c| if may_stand(c) { c } else { '_' })
        .collect()
}

fn is_clean(value: &str) -> bool {
    value.len() <= LONGEST && value.chars().all(may_stand)
}

fn may_stand(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '.' | '/')
}
