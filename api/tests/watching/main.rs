//! Watching runs over real sockets - server-sent events, WebSocket, JSON pages - and what operators look at. There is
//! no worker: the tests write to the ledger what one would.

// Tells clippy that helpers, too, are test code.
#![cfg(test)]

mod documentation;
mod operations;
mod pages;
mod server;
mod sse;
#[path = "../stage/mod.rs"]
mod stage;
mod stuck;
mod websocket;
