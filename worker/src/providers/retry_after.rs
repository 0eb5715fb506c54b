//! How long a provider asks us to stay away, from the headers it may say it in. Reads no clock: "now" is passed in.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use shared::domain::Timestamp;

/// Longer waits are cut to this: a provider that is away for longer will say so again.
const LONGEST: Duration = Duration::from_secs(600);

/// Reads `retry-after-ms` (OpenAI's own), then `Retry-After` as seconds, with or without a fraction, or as an HTTP
/// date (RFC 9110, section 10.2.3). A date is compared with the response's own `Date` where there is one, so that
/// two clocks that disagree do no harm. What cannot be read counts as absent; a date in the past is zero.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok())
        && let Some(delay) = bounded(millis / 1000.0)
    {
        return Some(delay);
    }
    let asked = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = asked.parse::<f64>() {
        return bounded(seconds);
    }
    let until = millis_of(asked)?;
    let from = text(DATE.as_str()).and_then(millis_of).unwrap_or(now);
    Some(until.since(from).min(LONGEST))
}

fn bounded(seconds: f64) -> Option<Duration> {
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).map_or(LONGEST, |delay| delay.min(LONGEST)))
}

fn millis_of(http_date: &str) -> Option<Timestamp> {
    let moment = httpdate::parse_http_date(http_date)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    i64::try_from(moment.as_millis()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// 1994-11-06 08:49:37 UTC, the date in the RFC's examples.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

    fn asked(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let headers = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        retry_after(&headers.collect(), NOW)
    }

    #[test]
    fn seconds_fractions_and_milliseconds() {
        assert_eq!(asked(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(
            asked(&[("retry-after", " 0.25 ")]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(asked(&[("retry-after", "0")]), Some(Duration::ZERO));
        assert_eq!(
            asked(&[("retry-after-ms", "40"), ("retry-after", "7")]),
            Some(Duration::from_millis(40))
        );
        assert_eq!(
            asked(&[("retry-after-ms", "soon"), ("retry-after", "7")]),
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn dates_by_our_clock_or_by_theirs() {
        let in_ten = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(asked(&[("retry-after", in_ten)]), Some(Duration::from_secs(10)));
        let theirs = [("retry-after", in_ten), ("date", "Sun, 06 Nov 1994 08:49:45 GMT")];
        assert_eq!(asked(&theirs), Some(Duration::from_secs(2)));
        assert_eq!(
            asked(&[("retry-after", "Sunday, 06-Nov-94 08:49:40 GMT")]),
            Some(Duration::from_secs(3))
        );
        assert_eq!(
            asked(&[("retry-after", "Sun Nov  6 08:49:36 1994")]),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn absurd_values_are_cut_or_ignored() {
        for endless in ["86400", "1e300", "inf", "Sun, 06 Nov 2044 08:49:37 GMT"] {
            assert_eq!(asked(&[("retry-after", endless)]), Some(LONGEST), "{endless}");
        }
        for nonsense in ["-1", "NaN", "-inf", "", "tomorrow"] {
            assert_eq!(asked(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(asked(&[]), None);
    }
}
