//! Whether a second provider is asked while the first has not answered, and after how long: at the time by which 95 of
//! 100 of the first one's calls have given their first token (Dean and Barroso, "The Tail at Scale", 2013: about 5 % more
//! calls for a much shorter tail). Off unless asked for: it costs money.

use std::time::Duration;

use super::figures::Figures;

/// Whether and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HedgeSettings {
    /// Off by default.
    pub enabled: bool,
    /// Never sooner: a first token that comes this fast needs no help.
    pub least: Duration,
    /// Never later.
    pub most: Duration,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            least: Duration::from_millis(100),
            most: Duration::from_secs(30),
        }
    }
}

impl HedgeSettings {
    /// How long to wait for the first one's first token before a second is asked; none when no second is to be asked,
    /// because it is off or too little is known of the first.
    #[must_use]
    pub fn after(&self, first: &Figures) -> Option<Duration> {
        if !self.enabled {
            return None;
        }
        let p95 = first.first_token_p95()?;
        Some(p95.clamp(self.least, self.most.max(self.least)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::moment::Moment;
    use super::*;

    #[test]
    fn it_waits_for_the_p95_and_only_if_enabled() {
        let figures = Figures::default();
        let on = HedgeSettings {
            enabled: true,
            ..HedgeSettings::default()
        };
        assert_eq!(on.after(&figures), None, "nothing is known");
        for hundredths in 1..=100 {
            figures.first_token(Duration::from_millis(hundredths * 10), Moment::from_nanos(1));
        }
        assert_eq!(on.after(&figures), Some(Duration::from_millis(950)));
        assert_eq!(HedgeSettings::default().after(&figures), None);
        let bounded = HedgeSettings {
            most: Duration::from_millis(500),
            ..on
        };
        assert_eq!(bounded.after(&figures), Some(Duration::from_millis(500)));
    }
}
