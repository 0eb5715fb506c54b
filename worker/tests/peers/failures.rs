//! Answers that never come, or break off: what went wrong is told apart as with a provider.

use std::time::Duration;

use shared::catalog::Dialect;
use worker::providers::{ErrorKind, Phase, Timeouts};

use crate::asking::ask;
use crate::peer::{DIALECTS, PATIENT, Peer};

/// Soon over, where nothing comes at all.
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn refusals_by_status() {
    let peer = Peer::start().await;
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let server = |status, retry_after| ErrorKind::Server { status, retry_after };
    for dialect in DIALECTS {
        let provider = peer.provider(dialect, PATIENT);
        for (model, words, kind) in [
            (
                "status-400",
                "No such field.",
                ErrorKind::Rejected { status: 400 },
            ),
            (
                "status-401",
                "Who are you?",
                ErrorKind::Unauthorized { status: 401 },
            ),
            ("status-403", "Not you.", ErrorKind::Unauthorized { status: 403 }),
            (
                "status-404",
                "No such model.",
                ErrorKind::Rejected { status: 404 },
            ),
            (
                "status-429",
                "Slow down.",
                ErrorKind::RateLimited {
                    retry_after: seconds(7),
                },
            ),
            ("status-500", "It broke.", server(500, None)),
            ("status-503", "Not now.", server(503, seconds(3))),
            ("status-529", "Too many.", server(529, None)),
        ] {
            for stream in [true, false] {
                let outcome = ask(&provider, model, stream).await;
                let error = outcome.failure();
                assert_eq!(*error.kind(), kind, "{dialect:?} {model}");
                assert!(error.to_string().contains(words), "{dialect:?}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn streams_that_break_off() {
    let peer = Peer::start().await;
    for dialect in DIALECTS {
        let provider = peer.provider(dialect, PATIENT);
        let outcome = ask(&provider, "cut", true).await;
        assert_eq!(*outcome.failure().kind(), ErrorKind::Interrupted, "{dialect:?}");
        assert_eq!(outcome.reasons, [""; 0], "{dialect:?}");
        // What comes before the text is the dialect's: one frame, three, none.
        let text = match dialect {
            Dialect::Anthropic => "This",
            Dialect::Gemini => "This answer is n",
            _ => "This answer ",
        };
        assert_eq!(outcome.answer.text, text, "{dialect:?}");
        let outcome = ask(&provider, "torn", true).await;
        assert_eq!(*outcome.failure().kind(), ErrorKind::Interrupted, "{dialect:?}");
    }
}

#[tokio::test]
async fn answers_that_do_not_come() {
    let peer = Peer::start().await;
    for dialect in DIALECTS {
        let hasty = Timeouts {
            first_token: SHORT,
            ..PATIENT
        };
        let outcome = ask(&peer.provider(dialect, hasty), "late", true).await;
        assert_eq!(
            *outcome.failure().kind(),
            ErrorKind::Timeout(Phase::FirstToken),
            "{dialect:?}"
        );
        let hasty = Timeouts {
            total: SHORT,
            ..PATIENT
        };
        let outcome = ask(&peer.provider(dialect, hasty), "late", false).await;
        assert_eq!(
            *outcome.failure().kind(),
            ErrorKind::Timeout(Phase::Total),
            "{dialect:?}"
        );
    }
    // Gemini's first frame is text already; the others' first frames say nothing yet.
    for (dialect, phase) in [
        (Dialect::OpenAi, Phase::FirstToken),
        (Dialect::Anthropic, Phase::FirstToken),
        (Dialect::Gemini, Phase::BetweenTokens),
    ] {
        let hasty = match phase {
            Phase::FirstToken => Timeouts {
                first_token: SHORT,
                ..PATIENT
            },
            _ => Timeouts {
                between_tokens: SHORT,
                ..PATIENT
            },
        };
        let outcome = ask(&peer.provider(dialect, hasty), "stalled", true).await;
        assert_eq!(
            *outcome.failure().kind(),
            ErrorKind::Timeout(phase),
            "{dialect:?}"
        );
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    let peer = Peer::start().await;
    for dialect in DIALECTS {
        let provider = peer.provider(dialect, PATIENT);
        for stream in [true, false] {
            let outcome = ask(&provider, "garbage", stream).await;
            assert_eq!(
                *outcome.failure().kind(),
                ErrorKind::Malformed,
                "{dialect:?} stream: {stream}"
            );
        }
    }
}
