//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): the `traceparent` that follows a run from the client over
//! the API to the worker and the provider.

use std::fmt;
use std::str::FromStr;

use rand::Rng;

/// A position in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Why a text is not a `traceparent`. Such a header is ignored, as the specification asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent: expected 00-<32 hex>-<16 hex>-<2 hex>")]
pub struct TraceContextError;

impl TraceContext {
    /// The beginning of a new trace.
    #[must_use]
    pub fn root() -> Self {
        let mut rng = rand::rng();
        Self {
            trace: rng.next_u64() as u128 | (u128::from(rng.next_u64() | 1) << 64),
            span: rng.next_u64() | 1,
            sampled: true,
        }
    }

    /// A new span in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span: rand::rng().next_u64() | 1,
            ..self
        }
    }

    /// The trace, in hexadecimal.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace,
            self.span,
            u8::from(self.sampled)
        )
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let mut parts = text.split('-');
        let mut field = |digits: usize| {
            let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            parts
                .next()
                .filter(|part| part.len() == digits && part.bytes().all(lower_hex))
                .ok_or(TraceContextError)
        };
        let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let number = |hex: &str| u128::from_str_radix(hex, 16).map_err(|_| TraceContextError);
        let (trace, span, flags) = (number(trace)?, number(span)?, number(flags)?);
        if version == "ff" || trace == 0 || span == 0 || (version == "00" && parts.next().is_some()) {
            return Err(TraceContextError);
        }
        let span = u64::try_from(span).map_err(|_| TraceContextError)?;
        Ok(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_children() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context: TraceContext = text.parse().unwrap();
        assert_eq!(context.to_string(), text);
        let child = context.child();
        assert_eq!(child.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(child, context);
        let root = TraceContext::root();
        assert_eq!(root.to_string().parse(), Ok(root));
    }

    #[test]
    fn invalid_headers_are_refused() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(TraceContextError), "{bad}");
        }
    }
}
