//! The loads there are, and what one of them comes to once the command line has had its say.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::ValueEnum;

/// What kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Load {
    /// Answers of 100 tokens: the first after 20 ms, then one every 5 ms
    Paced,
    /// Answers of 16 tokens without delay, one after the other
    Flat,
    /// Answers of one token without delay: what a run costs beside its tokens
    Noop,
    /// Submits whose answer nobody waits for
    Submit,
}

impl Load {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Paced => "paced",
            Self::Flat => "flat",
            Self::Noop => "noop",
            Self::Submit => "submit",
        }
    }

    /// What its answers look like unless the command line says otherwise.
    pub(super) fn shape(self) -> Shape {
        let flat = |tokens| Shape {
            tokens,
            first: Duration::ZERO,
            pace: Duration::ZERO,
        };
        match self {
            Self::Paced => Shape {
                tokens: 100,
                first: Duration::from_millis(20),
                pace: Duration::from_millis(5),
            },
            Self::Flat => flat(16),
            Self::Noop | Self::Submit => flat(1),
        }
    }
}

/// When streams begin their runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Arrivals {
    /// The first runs of the streams begin spread over the length of a run; then each stream goes on by itself
    Spread,
    /// All streams begin together, and again together once the slowest has ended
    Wave,
}

impl Arrivals {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Wave => "wave",
        }
    }
}

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) tokens: u32,
    /// From the call to the first token.
    pub(super) first: Duration,
    /// Between two tokens.
    pub(super) pace: Duration,
}

impl Shape {
    /// How long the provider takes for it.
    pub(super) fn length(self) -> Duration {
        self.first + self.pace * self.tokens.saturating_sub(1)
    }

    /// The simulator's script for it.
    pub(super) fn script(self) -> String {
        let Self { tokens, first, pace } = self;
        format!(
            "sim:first={}us,pace={}us,tokens={tokens}",
            first.as_micros(),
            pace.as_micros()
        )
    }
}

/// When it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// After a while; what the warm-up brings is not counted.
    Time { warm_up: Duration, measured: Duration },
    /// After so many runs.
    Runs(u64),
}

/// A load to be driven.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) load: Load,
    pub(super) shape: Shape,
    /// Streams; each has a connection of its own and one run at a time.
    pub(super) concurrency: NonZeroU32,
    pub(super) arrivals: Arrivals,
    pub(super) extent: Extent,
    /// Threads of the generator.
    pub(super) threads: NonZeroU32,
    /// Whether an answer that has not the number of tokens asked for is an error: only where the provider follows
    /// a script.
    pub(super) exact: bool,
    /// Whether answers come in one piece instead of streams.
    pub(super) whole: bool,
}

impl Plan {
    /// How long a run keeps its stream, at least.
    pub(super) fn run_length(&self) -> Duration {
        match self.load {
            Load::Submit => Duration::ZERO,
            Load::Paced | Load::Flat | Load::Noop => self.shape.length(),
        }
    }

    /// When a stream begins its first run, counted from the start.
    pub(super) fn delay(&self, stream: u32) -> Duration {
        match self.arrivals {
            Arrivals::Spread => self.run_length() * stream / self.concurrency.get(),
            Arrivals::Wave => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_the_shape() {
        assert_eq!(
            Load::Paced.shape().script(),
            "sim:first=20000us,pace=5000us,tokens=100"
        );
        assert_eq!(Load::Paced.shape().length(), Duration::from_millis(515));
        assert_eq!(Load::Flat.shape().length(), Duration::ZERO);
    }

    #[test]
    fn arrivals_fill_the_length_of_a_run() {
        let mut plan = Plan {
            load: Load::Paced,
            shape: Load::Paced.shape(),
            concurrency: NonZeroU32::new(4).unwrap(),
            arrivals: Arrivals::Spread,
            extent: Extent::Runs(1),
            threads: NonZeroU32::MIN,
            exact: true,
            whole: false,
        };
        let delays = |plan: &Plan| [0, 1, 2, 3].map(|stream| plan.delay(stream).as_micros());
        assert_eq!(delays(&plan), [0, 128_750, 257_500, 386_250]);
        plan.arrivals = Arrivals::Wave;
        assert_eq!(delays(&plan), [0; 4]);
        // Nobody waits for the answer, however long it takes.
        plan.arrivals = Arrivals::Spread;
        plan.load = Load::Submit;
        assert_eq!(delays(&plan), [0; 4]);
    }
}
