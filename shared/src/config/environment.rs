//! Reads variables, remembers which were asked for, and collects what is wrong, so that all of it is said at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is not usable:\n  {}", problems.join("\n  "))]
pub struct ConfigError {
    /// One line each, naming the variable and what to do; never a value that may be secret.
    pub problems: Vec<String>,
}

/// A set of variables being read.
#[derive(Debug, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    asked: BTreeSet<&'static str>,
    problems: Vec<String>,
}

/// The values of all variables, for names that only data knows: those that hold providers' keys. Never shown.
#[derive(Clone, Default)]
pub struct Variables(Arc<BTreeMap<String, String>>);

impl Variables {
    /// The value of a variable; none when it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables").finish_non_exhaustive()
    }
}

/// Names with our prefix that belong to the command line or to the tests.
const FOREIGN: [&str; 3] = ["MCP_SERVER", "MCP_API_KEY", "MCP_THREADS"];

impl Environment {
    /// The process's own environment. Empty values count as unset.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_values(std::env::vars())
    }

    /// These values. Empty ones count as unset.
    #[must_use]
    pub fn from_values(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let values = values
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self {
            values,
            ..Self::default()
        }
    }

    /// The value of a variable.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.insert(name);
        self.values.get(name).cloned()
    }

    /// The value of a variable that must not be shown.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.text(name).map(Into::into)
    }

    /// A value with a form; a bad one is noted and read as unset.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(format!("{name}: {error}"));
                None
            }
        }
    }

    /// A number within bounds, or the default.
    pub fn number<T>(&mut self, name: &'static str, default: T, least: T, most: T) -> T
    where
        T: FromStr<Err: Display> + PartialOrd + Display + Copy,
    {
        let Some(value) = self.parsed::<T>(name) else {
            return default;
        };
        if value < least || value > most {
            self.problem(format!("{name}: must be between {least} and {most}"));
            return default;
        }
        value
    }

    /// A duration in whole milliseconds of at least one, or the default.
    pub fn millis(&mut self, name: &'static str, default: Duration) -> Duration {
        let default_ms = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.number(name, default_ms, 1, 86_400_000))
    }

    /// The names that were asked for so far.
    pub fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().copied()
    }

    /// All variables, for names that are not settings of ours.
    #[must_use]
    pub fn variables(&self) -> Variables {
        Variables(Arc::new(self.values.clone()))
    }

    /// Notes something that is wrong.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When something was wrong, or a variable with the prefix `MCP_` was set that nobody asked for.
    pub fn finish(mut self) -> Result<(), ConfigError> {
        for name in self.values.keys() {
            let known = self.asked.contains(name.as_str()) || FOREIGN.contains(&name.as_str());
            if name.starts_with("MCP_") && !known && !name.starts_with("MCP_TEST_") {
                self.problems.push(format!(
                    "{name}: no such setting here (see .env.example for those there are)"
                ));
            }
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError {
                problems: self.problems,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(values: &[(&str, &str)]) -> Environment {
        Environment::from_values(
            values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn everything_wrong_is_said_at_once_without_values() {
        let mut env = environment(&[("MCP_SLOTS", "many"), ("MCP_TYPO", "hunter2"), ("PATH", "/bin")]);
        assert_eq!(env.number("MCP_SLOTS", 256, 1, 10), 256);
        let error = env.finish().unwrap_err();
        assert_eq!(error.problems.len(), 2);
        assert!(error.to_string().contains("MCP_TYPO") && error.to_string().contains("MCP_SLOTS"));
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn empty_is_unset_and_bounds_hold() {
        let mut env = environment(&[("MCP_A", ""), ("MCP_B", "11")]);
        assert_eq!(env.text("MCP_A"), None);
        assert_eq!(env.number("MCP_B", 5, 1, 10), 5);
        assert!(env.finish().unwrap_err().to_string().contains("between 1 and 10"));
    }
}
