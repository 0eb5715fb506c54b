//! Which of two forms a client wants, by its `Accept` header (RFC 9110, section 12.5.1). It only chooses; a header
//! that fits neither form is answered with the default, because an answer in the wrong form still helps a person.

use http::HeaderMap;
use http::header::ACCEPT;

/// How a run's log can be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// One JSON document.
    Json,
    /// Server-sent events, open until the run has ended.
    EventStream,
}

impl Representation {
    const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application", "json"),
            Self::EventStream => ("text", "event-stream"),
        }
    }

    /// What the client likes better; `default` when it likes both the same.
    pub(crate) fn wanted(headers: &HeaderMap, default: Self) -> Self {
        let other = match default {
            Self::Json => Self::EventStream,
            Self::EventStream => Self::Json,
        };
        if other.appeal(headers) > default.appeal(headers) {
            other
        } else {
            default
        }
    }

    /// Quality in thousandths, then how closely it was named.
    fn appeal(self, headers: &HeaderMap) -> (u16, u8) {
        let (kind, subtype) = self.media_type();
        let closest = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let (range_kind, range_subtype) = parts.next()?.split_once('/')?;
                let closeness =
                    if range_kind.eq_ignore_ascii_case(kind) && range_subtype.eq_ignore_ascii_case(subtype) {
                        2
                    } else if range_kind.eq_ignore_ascii_case(kind) && range_subtype == "*" {
                        1
                    } else if range_kind == "*" && range_subtype == "*" {
                        0
                    } else {
                        return None;
                    };
                Some((closeness, quality(parts)))
            })
            .max_by_key(|(closeness, _)| *closeness);
        closest.map_or((0, 0), |(closeness, quality)| (quality, closeness))
    }
}

/// The `q` of a media range in thousandths; what cannot be read counts as 1.
fn quality<'a>(parameters: impl Iterator<Item = &'a str>) -> u16 {
    parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .and_then(|(_, value)| value.trim().parse::<f32>().ok())
        .filter(|value| (0.0..=1.0).contains(value))
        // In 0..=1000 by the filter above.
        .map_or(1_000, |value| (value * 1_000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::Representation::{EventStream, Json};
    use super::*;

    fn wanted(accept: &str, default: Representation) -> Representation {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Representation::wanted(&headers, default)
    }

    #[test]
    fn what_is_named_wins_over_what_is_merely_allowed() {
        assert_eq!(wanted("text/event-stream", Json), EventStream);
        assert_eq!(wanted("application/json", EventStream), Json);
        assert_eq!(wanted("application/json, text/plain, */*", EventStream), Json);
        assert_eq!(wanted("TEXT/Event-Stream, */*;q=0.5", Json), EventStream);
    }

    #[test]
    fn quality_wins_over_everything() {
        assert_eq!(
            wanted("text/event-stream;q=0.2, application/json;q=0.9", EventStream),
            Json
        );
        assert_eq!(wanted("text/event-stream;q=0, */*", EventStream), Json);
        assert_eq!(
            wanted("application/*;q=0.8, text/event-stream; q=0.7", EventStream),
            Json
        );
    }

    #[test]
    fn a_client_without_a_preference_gets_the_default() {
        for default in [Json, EventStream] {
            assert_eq!(Representation::wanted(&HeaderMap::new(), default), default);
            for accept in [
                "*/*",
                "image/png",
                "nonsense",
                "application/json, text/event-stream",
                "*/*;q=abc",
            ] {
                assert_eq!(wanted(accept, default), default, "{accept}");
            }
        }
    }
}
