//! `mcpctl` as its users meet it: the real binary against a server that speaks the documented protocol over real
//! sockets, and misbehaves where a test says so. Exit codes, output and errors are what scripts rely on.

#![cfg(test)]

mod bench;
mod codes;
mod follow;
mod health;
mod interruption;
mod output;
mod program;
mod providers;
mod server;
mod simulate;
mod submit;
mod terminal;
