//! What may stand in a run's log. An entry's `data` is JSON text, written once and handed on byte for byte.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Class, Cursor, Estimate, FailureCode, OutputDelta, RouteSelected, RouteUnavailable, Status, Timestamp,
    WorkerId,
};

/// One entry of a run's log, as the ledger holds it and every watcher sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its address.
    pub cursor: Cursor,
    /// What it says.
    pub kind: EventType,
    /// When it was written.
    pub at: Timestamp,
    /// The event's data: a JSON object.
    pub data: Arc<str>,
}

impl LogEntry {
    /// The entry in the public form `{cursor,type,at,data}`, the same on every surface and at every replay.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(96 + self.data.len());
        self.write_json(&mut json);
        json
    }

    /// The same at the end of a text.
    pub fn write_json(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"{{"cursor":"{}","type":"{}","at":"{}","data":"#,
            self.cursor, self.kind, self.at
        );
        text.push_str(&self.data);
        text.push('}');
    }

    /// The event it stands for.
    ///
    /// # Errors
    /// When the data is not what the type promises: a newer or a damaged ledger.
    pub fn event(&self) -> Result<Event, serde_json::Error> {
        Event::parse(self.kind, &self.data)
    }
}

/// Why a text is not an event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type `{0}`")]
pub struct UnknownEventType(String);

macro_rules! events {
    ($( $(#[$doc:meta])* $variant:ident($data:ty) = $name:literal, )*) => {
        /// The type of an event, as its `type` field says it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $( $(#[$doc])* $variant, )* }

        impl EventType {
            /// The name on the wire and in the ledger.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;

            fn from_str(text: &str) -> Result<Self, UnknownEventType> {
                match text { $( $name => Ok(Self::$variant), )* _ => Err(UnknownEventType(text.to_owned())) }
            }
        }

        /// An event with its data.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event { $( $(#[$doc])* $variant($data), )* }

        impl Event {
            /// Its type.
            #[must_use]
            pub const fn kind(&self) -> EventType {
                match self { $( Self::$variant(_) => EventType::$variant, )* }
            }

            fn parse(kind: EventType, data: &str) -> Result<Self, serde_json::Error> {
                Ok(match kind { $( EventType::$variant => Self::$variant(serde_json::from_str(data)?), )* })
            }

            fn write(&self) -> Result<String, serde_json::Error> {
                match self { $( Self::$variant(data) => serde_json::to_string(data), )* }
            }
        }
    };
}

events! {
    /// The run was accepted.
    RunQueued(RunQueued) = "run.queued",
    /// A worker claimed it.
    AttemptStarted(AttemptStarted) = "attempt.started",
    /// The provider and model were chosen.
    RouteSelected(RouteSelected) = "route.selected",
    /// No provider could be chosen.
    RouteUnavailable(RouteUnavailable) = "route.unavailable",
    /// A provider call failed.
    ProviderFailed(ProviderFailed) = "provider.failed",
    /// More of the answer.
    OutputDelta(OutputDelta) = "output.delta",
    /// What a provider call used.
    UsageReported(UsageReported) = "usage.reported",
    /// The run went back to the queue.
    RunRequeued(RunRequeued) = "run.requeued",
    /// The run ended with an answer.
    RunSucceeded(RunSucceeded) = "run.succeeded",
    /// The run ended without one.
    RunFailed(RunFailed) = "run.failed",
    /// The run was cancelled.
    RunCancelled(RunCancelled) = "run.cancelled",
}

impl Event {
    /// The event's data as JSON text. Events of a run whose provider is the simulator carry `"simulated":true`.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "the data types are plain structs with string keys: they always serialise"
    )]
    pub fn to_data(&self, simulated: bool) -> Arc<str> {
        let mut json = self.write().expect("plain structs serialise");
        if simulated {
            json.pop();
            json.push_str(if json.len() > 1 {
                r#","simulated":true}"#
            } else {
                r#""simulated":true}"#
            });
        }
        json.into()
    }
}

impl EventType {
    /// The status an event of this type ends the run with, if it ends it.
    #[must_use]
    pub const fn terminal_status(self) -> Option<Status> {
        match self {
            Self::RunSucceeded => Some(Status::Succeeded),
            Self::RunFailed => Some(Status::Failed),
            Self::RunCancelled => Some(Status::Cancelled),
            _ => None,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Data of `run.queued`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunQueued {
    /// What the scheduler weighs.
    pub class: Class,
    /// What the run is expected to take.
    pub estimate: Estimate,
}

/// Data of `attempt.started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    /// 1 for the first claim. A rewind inside an attempt repeats its number.
    pub attempt: u32,
    /// The incarnation that claimed.
    pub worker: WorkerId,
    /// The rewind: output after this cursor and before this event is void. Absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void_after: Option<Cursor>,
}

/// Data of `provider.failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderFailed {
    /// The provider's name.
    pub provider: String,
    /// The model asked of it.
    pub model: String,
    /// What went wrong.
    pub code: FailureCode,
    /// For people.
    pub message: String,
    /// Whether another call may succeed.
    pub retryable: bool,
}

/// Data of `usage.reported`. Counts are the provider's; `raw` is its report as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageReported {
    /// The provider's name.
    pub provider: String,
    /// The model asked of it.
    pub model: String,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens generated.
    pub output_tokens: u64,
    /// US dollars; null when the price is unknown.
    pub cost_usd: Option<super::Usd>,
    /// Every field the provider reported.
    pub raw: Value,
}

/// Why a run went back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequeueReason {
    /// The provider failed in a way that another try may mend.
    ProviderFailed,
    /// The worker is shutting down.
    Released,
    /// The worker died or lost its lease.
    WorkerLost,
    /// No provider can take it now; waiting helps.
    NoProvider,
    /// So many calls are tried again that this one has to wait: an outage must not be amplified.
    RetryBudget,
}

impl RequeueReason {
    /// The name in the log and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProviderFailed => "provider_failed",
            Self::Released => "released",
            Self::WorkerLost => "worker_lost",
            Self::NoProvider => "no_provider",
            Self::RetryBudget => "retry_budget",
        }
    }
}

/// Data of `run.requeued`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequeued {
    /// Why.
    pub reason: RequeueReason,
    /// Not claimed before this moment.
    pub not_before: Timestamp,
}

/// Data of `run.succeeded`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSucceeded {
    /// Why the model stopped, as the provider said it: `stop`, `length`, `tool_calls`, ...
    pub finish_reason: String,
    /// What the provider said beside the answer (`id`, `model`, `system_fingerprint`, fields we do not know), as it came.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: Map<String, Value>,
}

/// Data of `run.failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailed {
    /// Stable code.
    pub code: FailureCode,
    /// For people.
    pub message: String,
    /// Whether submitting it again may succeed.
    pub retryable: bool,
}

/// Data of `run.cancelled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancelled {
    /// Who asked: `client` or `admin`.
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: &Event, simulated: bool) -> LogEntry {
        LogEntry {
            cursor: Cursor::new(1, 2),
            kind: event.kind(),
            at: Timestamp::from_millis(0),
            data: event.to_data(simulated),
        }
    }

    #[test]
    fn public_form_is_json_and_parses_back() {
        let event = Event::RunSucceeded(RunSucceeded {
            finish_reason: "stop \"quoted\"".to_owned(),
            provider_metadata: Map::new(),
        });
        let entry = entry(&event, false);
        let value: Value = serde_json::from_str(&entry.to_json()).unwrap();
        assert_eq!(value["cursor"], "1-2");
        assert_eq!(value["type"], "run.succeeded");
        assert_eq!(value["at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["data"]["finish_reason"], "stop \"quoted\"");
        assert_eq!(entry.event().unwrap(), event);
    }

    #[test]
    fn simulated_is_said_in_the_data() {
        let event = Event::RunCancelled(RunCancelled {
            by: "client".to_owned(),
        });
        assert_eq!(&*entry(&event, true).data, r#"{"by":"client","simulated":true}"#);
        assert_eq!(entry(&event, true).event().unwrap(), event);
    }

    #[test]
    fn nul_stays_escaped() {
        let event = Event::OutputDelta(OutputDelta::text("a\0b"));
        assert!(!entry(&event, false).data.contains('\0'));
    }

    #[test]
    fn names_round_trip() {
        for name in ["run.queued", "attempt.started", "output.delta", "run.cancelled"] {
            assert_eq!(name.parse::<EventType>().unwrap().as_str(), name);
        }
        assert!("run.exploded".parse::<EventType>().is_err());
    }
}
