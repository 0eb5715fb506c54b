//! What all dialects share: how a call travels and how its answer is read, whatever is in it.
//!
//! From the outside in: `client` sends a request to a place below an `endpoint`, with one of its `keys`, a signature
//! (`signing`) or an `access_token`, and hands back a [`ChatStream`], which reads the answer. `framing` cuts the bytes
//! into events, by `sse` or `event_stream`; a dialect reads each into the `assembly`, which knows what the parts mean
//! over a whole answer; `patience` is the clock; `fault` says what failed, and `origin` explains it to others.
//!
//! Nothing here knows a provider's JSON, repeats a request, or calls an answer complete that was not finished.

mod access_token;
mod assembly;
mod client;
mod endpoint;
mod event_stream;
mod fault;
mod framing;
mod keys;
mod origin;
mod patience;
mod signing;
mod sse;
mod stream;

pub(super) use assembly::{Assembly, Choice};
pub use client::Provider;
pub(super) use endpoint::Endpoint;
pub(super) use fault::Fault;
pub use keys::KeyIndex;
pub use stream::ChatStream;
