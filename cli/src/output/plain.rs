//! Text from elsewhere, made harmless for a terminal: a model's answer may hold escape sequences that would move the
//! cursor, retitle the window or write to the clipboard. Only for terminals: in a pipe every byte is kept.

use std::borrow::Cow;

/// Keeps line ends and tabs, drops carriage returns, and shows any other control character as its picture.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| if harmless(c) { c } else { picture(c) })
        .collect::<String>()
        .into()
}

/// U+2400 and what follows picture the C0 controls and DEL; C1 controls have no picture.
fn picture(control: char) -> char {
    match u32::from(control) {
        0x7f => '\u{2421}',
        code if code < 0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        _ => char::REPLACEMENT_CHARACTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_shown_not_obeyed() {
        assert_eq!(plain("a\x1b[31mb\u{9b}c\x07\x7f"), "a␛[31mb\u{fffd}c␇␡");
    }

    #[test]
    fn lines_tabs_and_letters_stay() {
        assert_eq!(plain("a\tb\r\nü 漢 🦀\n"), "a\tb\nü 漢 🦀\n");
        assert!(matches!(plain("ü\n\t漢"), Cow::Borrowed(_)));
    }
}
