//! Clients of model providers: one folder per dialect, `wire` for what all dialects share, and here the words that
//! belong to none of them - what a call carries in, what pieces come out, and how a call fails.
//!
//! A client makes one call and reports truthfully how it went. It never retries (the engine decides that, by
//! [`ProviderError::retryable`]), never chooses a provider or model, never writes to the journal, and never calls an
//! answer complete that the provider has not finished. Dropping what it returned drops the connection at once.

mod anthropic;
mod azure;
mod bedrock;
mod call;
mod canonical;
mod cohere;
mod dialect;
mod error;
mod gemini;
mod headroom;
mod openai;
mod retry_after;
mod settings;
mod wire;

pub use call::{ChatCall, ChatPiece, Usage};
pub use error::{ErrorKind, Phase, ProviderError};
pub use headroom::{Allowance, Headroom};
pub use settings::{ProviderSettings, SettingsError, Timeouts};
pub use wire::{ChatStream, KeyIndex, Provider};
