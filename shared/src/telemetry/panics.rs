//! What is said of a panic: one line, and one report. Never its formatted message: Rust puts what it worked on into
//! some of them (slicing a string in the middle of a character quotes the string), and that may be somebody's prompt.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// The target of a panic's line, whatever crate it happened in.
pub(super) const TARGET: &str = "panic";

const WITHHELD: &str = "a formatted message, withheld because it may quote content; see the location";

/// Beginnings of the standard library's messages that hold nothing but numbers after them.
const NUMBERS_ONLY: [&str; 4] = [
    "index out of bounds: ",
    "range start index ",
    "range end index ",
    "slice index starts at ",
];

/// Logs panics from now on, in place of the standard library's several lines. With `RUST_BACKTRACE` set a line has its
/// backtrace, as one value.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        target: TARGET,
        reason = public_reason(info.payload()),
        location,
        thread = thread.name().unwrap_or("unnamed"),
        backtrace,
        "panicked"
    );
}

/// The panic's message if it cannot hold content: a literal, or one known to hold only numbers.
pub(super) fn public_reason(payload: &(dyn Any + Send)) -> &str {
    if let Some(literal) = payload.downcast_ref::<&'static str>() {
        return literal;
    }
    let Some(formatted) = payload.downcast_ref::<String>() else {
        return "not a message";
    };
    if NUMBERS_ONLY.iter().any(|known| formatted.starts_with(known)) && !formatted.contains('\n') {
        formatted
    } else {
        WITHHELD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let payload = std::panic::catch_unwind(work).unwrap_err();
        public_reason(payload.as_ref()).to_owned()
    }

    #[test]
    fn literals_and_numbers_are_said_and_content_is_not() {
        assert_eq!(reason(|| panic!("no permit")), "no permit");
        let far = std::hint::black_box(7);
        assert_eq!(
            reason(move || {
                let _ = [1, 2, 3][..].get(..3).map(|few| few[far]);
            }),
            "index out of bounds: the len is 3 but the index is 7"
        );
        let prompt = std::hint::black_box("my secret é".to_owned());
        let quoted = prompt.clone();
        assert_eq!(reason(move || panic!("cannot read {quoted}")), WITHHELD);
        assert_eq!(reason(move || drop(prompt[..11].to_owned())), WITHHELD);
        assert_eq!(reason(|| std::panic::panic_any(5)), "not a message");
    }
}
