//! Execution: claims runs and carries them out. Never talks HTTP to clients, never sees the API crate.

pub mod providers;
