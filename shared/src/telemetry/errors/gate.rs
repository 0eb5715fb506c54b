//! The last look at an event before it leaves: it is built anew from an allow-list, so that what a later version of the
//! client, or somebody's call of it, adds to events does not leave with them.

use std::borrow::Cow;
use std::str::FromStr;

use sentry::protocol::{Breadcrumb, Event, Exception, Frame, Map, Stacktrace};

use crate::domain::{RunId, WorkerId};

/// The tags that may leave.
const TAGS: [&str; 4] = ["run", "epoch", "worker", "code"];

/// The event without anything that is not known to be harmless. The server's name is the configured one or none.
pub(super) fn hold(event: Event<'static>, server_name: Option<Cow<'static, str>>) -> Event<'static> {
    Event {
        event_id: event.event_id,
        timestamp: event.timestamp,
        level: event.level,
        platform: event.platform,
        sdk: event.sdk,
        release: event.release,
        environment: event.environment,
        server_name,
        logger: event.logger,
        message: event.message,
        culprit: event.culprit,
        tags: event
            .tags
            .into_iter()
            .filter(|(name, value)| may_leave(name, value))
            .collect(),
        exception: event
            .exception
            .into_iter()
            .map(exception)
            .collect::<Vec<_>>()
            .into(),
        breadcrumbs: event
            .breadcrumbs
            .into_iter()
            .map(breadcrumb)
            .collect::<Vec<_>>()
            .into(),
        ..Event::default()
    }
}

/// Whether a tag has a name that may leave and a value of that name's form: an id that is none may be anything.
pub(super) fn may_leave(name: &str, value: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
    TAGS.contains(&name)
        && match name {
            "run" => RunId::from_str(value).is_ok(),
            "worker" => WorkerId::from_str(value).is_ok(),
            "epoch" => value.parse::<u64>().is_ok(),
            _ => !value.is_empty() && value.len() <= 64 && value.bytes().all(is_word),
        }
}

fn breadcrumb(breadcrumb: Breadcrumb) -> Breadcrumb {
    Breadcrumb {
        timestamp: breadcrumb.timestamp,
        category: breadcrumb.category,
        level: breadcrumb.level,
        message: breadcrumb.message,
        ty: breadcrumb.ty,
        data: Map::new(),
    }
}

fn exception(exception: Exception) -> Exception {
    Exception {
        ty: exception.ty,
        value: exception.value,
        stacktrace: exception.stacktrace.map(stacktrace),
        ..Exception::default()
    }
}

/// Functions and places; no variables, no lines of source, no addresses.
fn stacktrace(stacktrace: Stacktrace) -> Stacktrace {
    let frame = |frame: Frame| Frame {
        function: frame.function,
        module: frame.module,
        filename: frame.filename,
        lineno: frame.lineno,
        in_app: frame.in_app,
        ..Frame::default()
    };
    Stacktrace {
        frames: stacktrace.frames.into_iter().map(frame).collect(),
        ..Stacktrace::default()
    }
}

#[cfg(test)]
mod tests {
    use sentry::protocol::{Request, User, Value, Values};

    use super::*;

    const SECRET: &str = "tell nobody";

    #[test]
    fn only_what_is_allowed_leaves() {
        let secret = || Some(SECRET.to_owned());
        let many = || Map::from_iter([("prompt".to_owned(), Value::from(SECRET))]);
        let frame = Frame {
            function: Some("kinds::chat::execute".to_owned()),
            abs_path: secret(),
            context_line: secret(),
            vars: many(),
            ..Frame::default()
        };
        let frames = Stacktrace {
            frames: vec![frame],
            ..Stacktrace::default()
        };
        let run = RunId::new().to_string();
        let event = Event {
            message: Some("the executor failed".to_owned()),
            server_name: Some(SECRET.into()),
            transaction: secret(),
            user: Some(User {
                id: secret(),
                ..User::default()
            }),
            request: Some(Request {
                data: secret(),
                ..Request::default()
            }),
            extra: many(),
            modules: Map::from_iter([(SECRET.to_owned(), SECRET.to_owned())]),
            fingerprint: vec![SECRET.into()].into(),
            tags: Map::from_iter([
                ("run".to_owned(), run.clone()),
                ("worker".to_owned(), SECRET.to_owned()),
                ("code".to_owned(), SECRET.to_owned()),
                ("prompt".to_owned(), SECRET.to_owned()),
            ]),
            exception: vec![Exception {
                ty: "panic".to_owned(),
                module: secret(),
                stacktrace: Some(frames.clone()),
                raw_stacktrace: Some(frames.clone()),
                ..Exception::default()
            }]
            .into(),
            stacktrace: Some(frames),
            breadcrumbs: Values::from(vec![Breadcrumb {
                message: Some("claimed".to_owned()),
                data: many(),
                ..Breadcrumb::default()
            }]),
            ..Event::default()
        };
        let left = serde_json::to_string(&hold(event, Some("node-1".into()))).unwrap();
        assert!(!left.contains(SECRET), "{left}");
        for kept in [
            "the executor failed",
            "kinds::chat::execute",
            "claimed",
            "node-1",
            &run,
        ] {
            assert!(left.contains(kept), "{kept}: {left}");
        }
    }

    #[test]
    fn ids_are_ids_and_codes_are_words() {
        assert!(may_leave("run", &RunId::new().to_string()) && may_leave("epoch", "3"));
        assert!(may_leave("worker", &WorkerId::new().to_string()) && may_leave("code", "rate_limited"));
        for (name, value) in [
            ("run", "my password"),
            ("worker", "run"),
            ("epoch", "-"),
            ("code", "Not a code"),
            ("code", ""),
            ("tenant", "acme"),
        ] {
            assert!(!may_leave(name, value), "{name}={value}");
        }
    }
}
