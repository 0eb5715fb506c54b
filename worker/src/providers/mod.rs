//! Clients of model providers: one folder per dialect, and what all dialects share - what a call carries in, what
//! pieces come out, and how a call fails.
//!
//! A client makes one call and reports truthfully how it went. It never retries (the engine decides that, by
//! [`ProviderError::retryable`]), never chooses a provider or model, never writes to the journal, and never calls an
//! answer complete that the provider has not finished. Dropping what it returned drops the connection at once.

mod call;
mod error;
pub mod openai;
mod retry_after;
mod settings;

pub use call::{ChatCall, ChatPiece, Usage};
pub use error::{ErrorKind, Phase, ProviderError};
pub use settings::{ProviderSettings, SettingsError, Timeouts};
