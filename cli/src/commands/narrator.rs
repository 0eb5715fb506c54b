//! Tells of a run as it happens, in one of four manners. What is printed is a fold over the log, like every surface:
//! an answer's text is what the log's transcript says, and a rewind is announced, never silent.
//!
//! Text that was printed cannot be taken back. So after a rewind the answer begins anew on a new line, whole: the part
//! that stays valid is printed again, then what follows. A line on stderr says so. It changes no exit code.

use serde::Deserialize;
use serde_json::Number;
use shared::domain::{Cursor, EventType, Transcript};

use super::summary::Summary;
use crate::client::{End, Entry, Tokens};
use crate::exit::CliError;
use crate::output::{SIMULATED, Screen};

/// What of a run is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The answer's text.
    Answer,
    /// A line per event.
    Events,
    /// The events' JSON.
    Json,
    /// Nothing; a spinner on a terminal.
    Silent,
}

/// Tells of one run.
#[derive(Debug)]
pub(super) struct Narrator {
    manner: Manner,
    /// Where the telling began: what is before it was told elsewhere, or never.
    from: Option<Cursor>,
    /// The command that shows the whole answer, not its text alone.
    result: String,
    transcript: Transcript,
    /// What of the transcript's text is on stdout.
    shown: bool,
    summary: Summary,
}

/// The fields of events that are told; all optional, so that a newer server's events are no reason to stop.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    text: String,
    attempt: Option<u32>,
    void_after: Option<Cursor>,
    provider: Option<String>,
    model: Option<String>,
    message: Option<String>,
    reason: Option<String>,
    not_before: Option<String>,
    finish_reason: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cost_usd: Option<Number>,
    simulated: bool,
}

impl Narrator {
    pub(super) fn new(manner: Manner, from: Option<Cursor>, result: String) -> Self {
        Self {
            manner,
            from,
            result,
            transcript: Transcript::default(),
            shown: false,
            summary: Summary::default(),
        }
    }

    /// Tells of the next entry.
    pub(super) async fn entry(&mut self, entry: &Entry, screen: &mut Screen) -> Result<(), CliError> {
        let data: Data = serde_json::from_str(&entry.data).unwrap_or_default();
        self.summary.simulated |= data.simulated;
        match self.manner {
            Manner::Json => Ok(screen.json(&entry.raw).await?),
            Manner::Events => {
                let label = if data.simulated {
                    format!("  {SIMULATED}")
                } else {
                    String::new()
                };
                let line = format!(
                    "{:<6} {}  {:<16} {}{label}",
                    entry.cursor.to_string(),
                    entry.at,
                    entry.name,
                    entry.data
                );
                Ok(screen.line(&line).await?)
            }
            Manner::Answer | Manner::Silent => self.tell(entry, data, screen).await,
        }
    }

    async fn tell(&mut self, entry: &Entry, data: Data, screen: &mut Screen) -> Result<(), CliError> {
        let Some(kind) = entry.kind() else { return Ok(()) };
        match kind {
            EventType::RunQueued => screen.busy("queued".to_owned()),
            EventType::AttemptStarted => self.attempt(entry, &data, screen).await?,
            EventType::RouteSelected => {
                screen.busy(waiting_for(&data));
                self.summary.provider = data.provider;
                self.summary.model = data.model;
            }
            EventType::RouteUnavailable => screen.busy("waiting for a provider".to_owned()),
            EventType::ProviderFailed => {
                let what = data.message.unwrap_or_else(|| "no reason given".to_owned());
                screen
                    .note(&format!(
                        "{} failed: {what}",
                        data.provider.as_deref().unwrap_or("the provider")
                    ))
                    .await?;
            }
            EventType::OutputDelta => {
                self.fold(entry);
                if self.manner == Manner::Answer {
                    self.shown |= !data.text.is_empty();
                    screen.piece(&data.text).await?;
                }
            }
            EventType::UsageReported => {
                self.summary.usage = data
                    .input_tokens
                    .zip(data.output_tokens)
                    .map(|(input, output)| Tokens { input, output });
                self.summary.cost = data.cost_usd;
            }
            EventType::RunRequeued => {
                let why = data
                    .reason
                    .as_deref()
                    .unwrap_or("no reason given")
                    .replace('_', " ");
                let when = data
                    .not_before
                    .map(|moment| format!(", not before {moment}"))
                    .unwrap_or_default();
                screen.note(&format!("queued again: {why}{when}")).await?;
                screen.busy("queued again".to_owned());
            }
            EventType::RunSucceeded => self.summary.finish_reason = data.finish_reason,
            EventType::RunFailed | EventType::RunCancelled => {}
        }
        Ok(())
    }

    /// A new attempt, which may make void what was printed.
    async fn attempt(&mut self, entry: &Entry, data: &Data, screen: &mut Screen) -> Result<(), CliError> {
        let before = self.transcript.answer().text;
        self.fold(entry);
        let kept = self.transcript.answer().text;
        let unseen = data
            .void_after
            .filter(|void_after| self.from.is_some_and(|from| *void_after < from));
        if self.manner == Manner::Answer {
            if let Some(void_after) = unseen {
                screen.end_line().await?;
                let note = format!(
                    "the answer was interrupted: it starts anew after {void_after}, before what is printed here"
                );
                screen.note(&note).await?;
                self.from = Some(void_after);
                self.shown = false;
            } else if self.shown && before != kept {
                screen.end_line().await?;
                screen
                    .note("the answer was interrupted and starts anew: what was printed of it so far is void")
                    .await?;
                screen.piece(&kept).await?;
                self.shown = !kept.is_empty();
            }
        }
        screen.busy(match data.attempt {
            Some(attempt) if attempt > 1 => format!("running, attempt {attempt}"),
            _ => "running".to_owned(),
        });
        Ok(())
    }

    /// Text the transcript cannot read is text that nobody can; it is then missing in a rewind, not in the telling.
    fn fold(&mut self, entry: &Entry) {
        if let Some(known) = entry.known() {
            let _ = self.transcript.apply(&known);
        }
    }

    /// Ends the telling.
    pub(super) async fn end(mut self, end: &End, screen: &mut Screen) -> Result<(), CliError> {
        screen.end_line().await?;
        screen.rest();
        if self.manner != Manner::Answer {
            return Ok(());
        }
        let mut more: Vec<String> = self.transcript.answer().message.keys().cloned().collect();
        more.retain(|key| key != "role");
        if !more.is_empty() {
            screen
                .note(&format!(
                    "the answer is more than its text ({}): {}",
                    more.join(", "),
                    self.result
                ))
                .await?;
        }
        self.summary.status = Some(end.status.to_string());
        screen.note(&self.summary.line()).await?;
        Ok(())
    }
}

fn waiting_for(data: &Data) -> String {
    match (&data.provider, &data.model) {
        (Some(provider), Some(model)) => format!("waiting for {provider} / {model}"),
        _ => "waiting for the provider".to_owned(),
    }
}
