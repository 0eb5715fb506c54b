//! How much a provider still lets us send, from the headers it says so in with each response. Reads no clock: "now" is
//! passed in.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ParseError, StrDeserializer};
use shared::domain::Timestamp;

/// Longer waits are cut to this. Limits per day exist; who waits for one asks again sooner.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What is left of the limits of the key that was used, as of one response. A provider that says nothing leaves
/// everything open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headroom {
    /// Of requests.
    pub requests: Allowance,
    /// Of tokens, input and output counted together.
    pub tokens: Allowance,
    /// Of input tokens, where they have a limit of their own (Anthropic).
    pub input_tokens: Allowance,
    /// Of output tokens, where they have a limit of their own (Anthropic).
    pub output_tokens: Allowance,
}

/// One limit. Over which window it is counted, the provider does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The most that is allowed in a window.
    pub limit: Option<u64>,
    /// What is left of it.
    pub remaining: Option<u64>,
    /// Until it is whole again, counted from when the response came.
    pub reset: Option<Duration>,
}

/// The headers of one limit: its size, what is left, when it is whole again.
type Names = [&'static str; 3];

const REQUESTS: [Names; 2] = [
    [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ],
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
];
const TOKENS: [Names; 2] = [
    [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ],
    [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ],
];
const INPUT_TOKENS: [Names; 1] = [[
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
]];
const OUTPUT_TOKENS: [Names; 1] = [[
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
]];

impl Headroom {
    /// Reads OpenAI's headers, which many others imitate, and Anthropic's. What cannot be read counts as absent.
    /// Their names and forms: "Rate limits in headers" in OpenAI's guide to rate limits, "Response headers" in
    /// Anthropic's.
    pub(super) fn read(headers: &HeaderMap, now: Timestamp) -> Self {
        let allowance = |named: &[Names]| {
            let read = named.iter().map(|names| Allowance::read(headers, names, now));
            read.into_iter()
                .find(|allowance| *allowance != Allowance::default())
                .unwrap_or_default()
        };
        Self {
            requests: allowance(&REQUESTS),
            tokens: allowance(&TOKENS),
            input_tokens: allowance(&INPUT_TOKENS),
            output_tokens: allowance(&OUTPUT_TOKENS),
        }
    }
}

impl Allowance {
    fn read(headers: &HeaderMap, [limit, remaining, reset]: &Names, now: Timestamp) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        Self {
            limit: text(limit).and_then(|text| text.parse().ok()),
            remaining: text(remaining).and_then(|text| text.parse().ok()),
            reset: text(reset).and_then(|text| until(text, now)),
        }
    }
}

/// How long until then: OpenAI writes `6m0s`, `1.5s` or `20ms`, Azure a number of seconds, Anthropic a moment as RFC
/// 3339 has it.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let delay = match text.parse::<f64>() {
        Ok(seconds) => seconds_of(seconds),
        Err(_) => spelled_out(text).or_else(|| {
            let moment: StrDeserializer<'_, ParseError> = text.into_deserializer();
            Some(Timestamp::deserialize(moment).ok()?.since(now))
        }),
    };
    delay.map(|delay| delay.min(LONGEST))
}

/// A sum of numbers with units, the way Go writes durations.
fn spelled_out(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let number_ends = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, behind) = rest.split_at(number_ends);
        let unit_ends = behind
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_ends);
        let seconds = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * seconds;
        rest = behind;
    }
    (!text.is_empty()).then(|| seconds_of(sum)).flatten()
}

fn seconds_of(seconds: f64) -> Option<Duration> {
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// 2024-01-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_millis(1_704_067_200_000);

    fn read(pairs: &[(&'static str, &str)]) -> Headroom {
        let headers = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        Headroom::read(&headers.collect(), NOW)
    }

    #[test]
    fn as_openai_says_it() {
        // The example of OpenAI's guide.
        let headroom = read(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let expected = Headroom {
            requests: Allowance {
                limit: Some(60),
                remaining: Some(59),
                reset: Some(Duration::from_secs(1)),
            },
            tokens: Allowance {
                limit: Some(150_000),
                remaining: Some(149_984),
                reset: Some(Duration::from_secs(360)),
            },
            ..Headroom::default()
        };
        assert_eq!(headroom, expected);
    }

    #[test]
    fn as_anthropic_says_it() {
        let headroom = read(&[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2024-01-01T00:00:07Z"),
            ("anthropic-ratelimit-tokens-limit", "80000"),
            ("anthropic-ratelimit-input-tokens-remaining", "7000"),
            ("anthropic-ratelimit-output-tokens-limit", "16000"),
            ("anthropic-ratelimit-output-tokens-reset", "2023-12-31T23:59:59Z"),
        ]);
        assert_eq!(
            (headroom.requests.remaining, headroom.requests.reset),
            (Some(0), Some(Duration::from_secs(7)))
        );
        assert_eq!(headroom.tokens.limit, Some(80_000));
        assert_eq!(headroom.input_tokens.remaining, Some(7_000));
        assert_eq!(
            (headroom.output_tokens.limit, headroom.output_tokens.reset),
            (Some(16_000), Some(Duration::ZERO)),
            "a moment in the past is now"
        );
    }

    #[test]
    fn every_way_to_say_when() {
        let said = [
            ("20ms", Some(20_000)),
            ("2m59.56s", Some(179_560_000)),
            ("1h0m0.5s", Some(3_600_500_000)),
            ("250µs", Some(250)),
            ("12", Some(12_000_000)),
            ("0", Some(0)),
            ("400d", Some(86_400_000_000)),
            ("", None),
            ("s", None),
            ("5 parsecs", None),
            ("7m3", None),
            ("-3", None),
            ("1.2.3s", None),
        ];
        for (text, micros) in said {
            let expected = micros.map(Duration::from_micros);
            let read = until(text, NOW).map(|delay| Duration::from_micros(delay.as_micros() as u64));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn silence_and_nonsense_leave_it_open() {
        assert_eq!(read(&[]), Headroom::default());
        let nonsense = [
            ("x-ratelimit-limit-requests", "many"),
            ("x-ratelimit-remaining-tokens", "-1"),
        ];
        assert_eq!(read(&nonsense), Headroom::default());
    }
}
