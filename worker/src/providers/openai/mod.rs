//! The OpenAI dialect: any endpoint that speaks `POST {base}/chat/completions`, as OpenAI documents it and as the
//! many servers that imitate it do.
//!
//! From the outside in: [`OpenAiProvider`] sends a request and hands back a [`ChatStream`], which reads the answer.
//! `request` writes the body; `sse` splits the answer into events; `chunk` is the grammar of one event's JSON and
//! `assembly` its meaning over a whole answer; `patience` is the clock; `fault` explains failures.
//!
//! `async-openai` provides the configuration and the names of finish reasons, not the transport: its client retries
//! by itself, takes a cut stream for a finished one, and buffers without bound. Fields we do not know pass through.

mod assembly;
mod chunk;
mod client;
mod fault;
mod patience;
mod request;
mod sse;
mod stream;

pub use client::OpenAiProvider;
pub use stream::ChatStream;
