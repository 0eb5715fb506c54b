//! Where everything that is printed passes: data to stdout, all else to stderr; what only a terminal gets (colour,
//! spinners, cleaned text) is decided here. Must never fail because stderr is gone, nor speak after stdout is.

mod plain;
mod table;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::io::AsyncWriteExt;

pub(crate) use plain::plain;
pub(crate) use table::Table;

use crate::args::Format;
use crate::exit::{Code, Report};

/// Stands on every block of text that is about a run no model has answered.
pub(crate) const SIMULATED: &str = "simulated: true";

/// The two streams, and what may be done with them.
#[derive(Debug)]
pub(crate) struct Screen {
    stdout: tokio::io::Stdout,
    /// Whether a person watches stdout.
    pub(crate) stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    /// How data is printed.
    pub(crate) format: Format,
    spinner: Option<ProgressBar>,
    mid_line: bool,
}

impl Screen {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            stdout: tokio::io::stdout(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            format,
            spinner: None,
            mid_line: false,
        }
    }

    /// A line of data. On a terminal without what could steer it.
    pub(crate) async fn line(&mut self, text: &str) -> io::Result<()> {
        self.end_line().await?;
        self.piece(text).await?;
        self.end_line().await
    }

    /// The server's JSON, byte for byte, and a line end.
    pub(crate) async fn json(&mut self, raw: &str) -> io::Result<()> {
        self.rest();
        // One write, so that a line is whole even when the process is interrupted.
        self.stdout
            .write_all(format!("{}\n", raw.trim_end()).as_bytes())
            .await?;
        self.stdout.flush().await
    }

    /// More of an answer, shown at once. On a terminal without what could steer it.
    pub(crate) async fn piece(&mut self, text: &str) -> io::Result<()> {
        let Some(last) = text.chars().last() else {
            return Ok(());
        };
        self.rest();
        if self.stdout_is_terminal {
            self.stdout.write_all(plain(text).as_bytes()).await?;
        } else {
            self.stdout.write_all(text.as_bytes()).await?;
        }
        self.mid_line = last != '\n';
        // Also what tells that the reader is gone: a write alone only reaches the buffer.
        self.stdout.flush().await
    }

    /// Ends the line that is being written, if one is.
    pub(crate) async fn end_line(&mut self) -> io::Result<()> {
        if !self.mid_line {
            return Ok(());
        }
        self.mid_line = false;
        self.stdout.write_all(b"\n").await?;
        self.stdout.flush().await
    }

    /// A line for people, on stderr. On a terminal it never lands in the middle of an answer's line.
    pub(crate) async fn note(&mut self, text: &str) -> io::Result<()> {
        if self.stdout_is_terminal && self.stderr_is_terminal {
            self.end_line().await?;
        }
        let text = if self.stderr_is_terminal {
            plain(text).into_owned()
        } else {
            text.to_owned()
        };
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| say(&text)),
            None => say(&text),
        }
        Ok(())
    }

    /// Says what is waited for, on a terminal only and as long as nothing else is printed.
    pub(crate) fn busy(&mut self, text: String) {
        if !self.stderr_is_terminal || self.mid_line {
            return;
        }
        let spinner = self.spinner.get_or_insert_with(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        spinner.set_message(text);
    }

    /// Takes the spinner away.
    pub(crate) fn rest(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.rest();
    }
}

/// Tells how a command ended: to people in lines, to programs (`-o json`) as one object.
pub(crate) fn report(report: &Report, format: Format) {
    if report.exit == Code::Fine {
        return;
    }
    match format {
        Format::Json => say(&as_json(report)),
        Format::Text => say(&as_text(report, io::stderr().is_terminal())),
    }
}

fn as_json(report: &Report) -> String {
    let mut error = json!({ "exit": report.exit as u8, "message": report.message });
    for (name, value) in &report.facts {
        error[*name] = json!(value);
    }
    if let Some(next) = &report.next {
        error["next"] = json!(next);
    }
    json!({ "error": error }).to_string()
}

fn as_text(report: &Report, terminal: bool) -> String {
    let paint = |code: &str, text: &str| {
        if terminal && colour() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let clean = |text: &str| {
        if terminal {
            plain(text).into_owned()
        } else {
            text.to_owned()
        }
    };
    let mut text = if report.exit == Code::Interrupted {
        clean(&report.message)
    } else {
        format!("{} {}", paint("1;31", "error:"), clean(&report.message))
    };
    for (name, value) in &report.facts {
        text.push_str(&format!("\n  {:<11} {}", name.replace('_', " "), clean(value)));
    }
    if let Some(next) = &report.next {
        text.push_str(&format!(
            "\n  {} {}",
            paint("1", &format!("{:<11}", "next")),
            clean(next)
        ));
    }
    text
}

/// <https://no-color.org>: any value but an empty one turns colour off.
fn colour() -> bool {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

fn say(text: &str) {
    // Nobody is left to tell that stderr cannot be written.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            message: "cannot do \x1b[2J it".to_owned(),
            exit: Code::Auth,
            facts: vec![("request_id", "req_1".to_owned())],
            next: Some("mcpctl list".to_owned()),
        }
    }

    #[test]
    fn an_error_for_programs_is_one_object_in_one_line() {
        let text = as_json(&report());
        assert!(!text.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["error"]["exit"], 4);
        assert_eq!(value["error"]["request_id"], "req_1");
        assert_eq!(value["error"]["next"], "mcpctl list");
    }

    #[test]
    fn an_error_for_people_names_the_next_command_and_cannot_steer_the_terminal() {
        let text = as_text(&report(), true);
        assert!(
            text.contains("mcpctl list") && text.contains("request id"),
            "{text}"
        );
        assert!(!text.contains("\x1b[2J"), "{text}");
    }
}
