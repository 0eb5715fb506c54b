//! The grammar of scripts: `option=value,option=value`, after the colon of a model name or in a header.
//!
//! Only reads; what a script means together with the configuration and the request is [`crate::plan`]'s business.
//! Must never ignore an option: a test that misspells its fault would pass for the wrong reason.

use std::{str::FromStr, time::Duration};

use crate::faults::{Fault, RetryAfter};

/// The model names that are served; each may be followed by `:` and options.
pub const MODELS: [&str; 3] = ["sim", "sim-fast", "sim-slow"];

const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_TOKENS: u32 = 1_000_000;
const MAX_GIANT_LINE: usize = 256 * 1024 * 1024;

/// What one request asks for. `None` leaves the choice to the configuration or to a default.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Script {
    pub(crate) first: Option<Duration>,
    pub(crate) pace: Option<Duration>,
    pub(crate) tokens: Option<u32>,
    pub(crate) seed: Option<u64>,
    pub(crate) unknown: Option<bool>,
    pub(crate) tools: Option<bool>,
    pub(crate) fault: Option<Fault>,
    pub(crate) after: Option<u32>,
    pub(crate) skip: Option<u32>,
    pub(crate) times: Option<u32>,
    pub(crate) key: Option<String>,
    pub(crate) retry_after: Option<RetryAfter>,
    pub(crate) size: Option<usize>,
}

/// Why a script cannot be followed. The text is meant for the client.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum ScriptError {
    #[error("simulator option \"{0}\" is not of the form option=value")]
    Form(String),
    #[error("simulator option \"{0}\" is unknown; the documentation of the simulator lists them")]
    Unknown(String),
    #[error("simulator option \"{0}\" is given twice")]
    Twice(String),
    #[error("simulator option \"{option}\" cannot be \"{value}\"; it must be {expected}")]
    Value {
        option: String,
        value: String,
        expected: &'static str,
    },
}

impl Script {
    /// Reads a model name. `None` if it is not one of ours.
    pub(crate) fn of_model(model: &str) -> Option<Result<Self, ScriptError>> {
        let (name, options) = model.split_once(':').unwrap_or((model, ""));
        let preset = match name {
            "sim" => Self::default(),
            "sim-fast" => Self::paced(Duration::ZERO, Duration::ZERO),
            "sim-slow" => Self::paced(Duration::from_secs(2), Duration::from_millis(200)),
            _ => return None,
        };
        Some(Self::parse(options).map(|script| preset.overlaid(script)))
    }

    /// Reads `option=value,option=value`; spaces around options are allowed and an empty text is an empty script.
    pub(crate) fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (option, value) = part
                .split_once('=')
                .ok_or_else(|| ScriptError::Form(part.to_owned()))?;
            script.set(option.trim(), value.trim())?;
        }
        Ok(script)
    }

    /// This script with every option of `over` in place of its own.
    pub(crate) fn overlaid(self, over: Self) -> Self {
        Self {
            first: over.first.or(self.first),
            pace: over.pace.or(self.pace),
            tokens: over.tokens.or(self.tokens),
            seed: over.seed.or(self.seed),
            unknown: over.unknown.or(self.unknown),
            tools: over.tools.or(self.tools),
            fault: over.fault.or(self.fault),
            after: over.after.or(self.after),
            skip: over.skip.or(self.skip),
            times: over.times.or(self.times),
            key: over.key.or(self.key),
            retry_after: over.retry_after.or(self.retry_after),
            size: over.size.or(self.size),
        }
    }

    fn paced(first: Duration, pace: Duration) -> Self {
        Self {
            first: Some(first),
            pace: Some(pace),
            ..Self::default()
        }
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), ScriptError> {
        let given = Given { option, value };
        match option {
            "first" => given.store(
                &mut self.first,
                duration,
                "a duration such as 0, 200ms or 1.5s, at most 24 h",
            ),
            "pace" => given.store(
                &mut self.pace,
                duration,
                "a duration such as 0, 200ms or 1.5s, at most 24 h",
            ),
            "tokens" => given.store(
                &mut self.tokens,
                |v| at_most(v, MAX_TOKENS),
                "an integer from 0 to 1000000",
            ),
            "seed" => given.store(&mut self.seed, |v| v.parse().ok(), "an unsigned 64-bit integer"),
            "unknown" => given.store(&mut self.unknown, flag, "1 or 0"),
            "tools" => given.store(&mut self.tools, flag, "1 or 0"),
            "fault" => given.store(
                &mut self.fault,
                Fault::named,
                "a status from 400 to 599 or the name of a fault",
            ),
            "after" => given.store(&mut self.after, |v| v.parse().ok(), "a number of tokens"),
            "skip" => given.store(&mut self.skip, |v| v.parse().ok(), "a number of requests"),
            "times" => given.store(&mut self.times, |v| v.parse().ok(), "a number of requests"),
            "key" => given.store(&mut self.key, |v| (!v.is_empty()).then(|| v.to_owned()), "a text"),
            "retry_after" => given.store(
                &mut self.retry_after,
                RetryAfter::parse,
                "seconds, or date: and seconds",
            ),
            "size" => given.store(
                &mut self.size,
                |v| at_most(v, MAX_GIANT_LINE),
                "at most 268435456 bytes",
            ),
            _ => Err(ScriptError::Unknown(option.to_owned())),
        }
    }
}

/// One option as it was written.
struct Given<'a> {
    option: &'a str,
    value: &'a str,
}

impl Given<'_> {
    fn store<T>(
        &self,
        slot: &mut Option<T>,
        read: impl FnOnce(&str) -> Option<T>,
        expected: &'static str,
    ) -> Result<(), ScriptError> {
        if slot.is_some() {
            return Err(ScriptError::Twice(self.option.to_owned()));
        }
        let value = read(self.value).ok_or_else(|| ScriptError::Value {
            option: self.option.to_owned(),
            value: self.value.to_owned(),
            expected,
        })?;
        *slot = Some(value);
        Ok(())
    }
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

fn at_most<T: FromStr + PartialOrd + Copy>(value: &str, limit: T) -> Option<T> {
    value.parse().ok().filter(|number| *number <= limit)
}

fn duration(value: &str) -> Option<Duration> {
    if value == "0" {
        return Some(Duration::ZERO);
    }
    let unit_at = value.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = value.split_at(unit_at);
    let seconds_per_unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    // `f64` would also read a sign, which `try_from_secs_f64` refuses for all but zero.
    let seconds = number.parse::<f64>().ok()? * seconds_per_unit;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= MAX_DURATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Script::parse(text).expect_err("must be refused").to_string()
    }

    #[test]
    fn reads_every_option() {
        let script = Script::parse(
            "first=200ms, pace=250us,tokens=50,seed=7,unknown=1,tools=0,fault=503,after=5,skip=4,times=2,key=a b,retry_after=3,size=9",
        )
        .unwrap();
        assert_eq!(script.first, Some(Duration::from_millis(200)));
        assert_eq!(script.pace, Some(Duration::from_micros(250)));
        assert_eq!((script.tokens, script.seed), (Some(50), Some(7)));
        assert_eq!((script.unknown, script.tools), (Some(true), Some(false)));
        assert_eq!(script.fault, Fault::named("503"));
        assert_eq!(
            (script.after, script.skip, script.times),
            (Some(5), Some(4), Some(2))
        );
        assert_eq!(script.key.as_deref(), Some("a b"));
        assert_eq!(script.retry_after, Some(RetryAfter::Seconds(3)));
        assert_eq!(script.size, Some(9));
    }

    #[test]
    fn options_of_a_model_name_come_over_its_preset() {
        let script = Script::of_model("sim-slow:pace=1s").unwrap().unwrap();
        assert_eq!(script.first, Some(Duration::from_secs(2)));
        assert_eq!(script.pace, Some(Duration::from_secs(1)));
        assert_eq!(Script::of_model("sim").unwrap().unwrap(), Script::default());
        assert!(Script::of_model("simple").is_none());
    }

    #[test]
    fn names_what_it_refuses() {
        assert!(refused("colour=red").contains("\"colour\" is unknown"));
        assert!(refused("first").contains("\"first\" is not of the form"));
        assert!(refused("pace=1s,pace=1s").contains("\"pace\" is given twice"));
        assert!(refused("fault=banana").contains("\"fault\" cannot be \"banana\""));
        for bad in [
            "first=5",
            "first=-1s",
            "first=NaNs",
            "first=25000m",
            "first=1h",
            "first=ms",
            "tokens=1000001",
        ] {
            assert!(refused(bad).contains("cannot be"), "{bad}");
        }
        for bad in [
            "unknown=yes",
            "retry_after=date:x",
            "retry_after=-1",
            "key=",
            "seed=1.5",
            "fault=200",
        ] {
            assert!(refused(bad).contains("cannot be"), "{bad}");
        }
    }
}
