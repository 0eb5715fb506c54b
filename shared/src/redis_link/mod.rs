//! The line to Redis that the fast forms of dispatch and feed share: one RESP3 connection per process, over which
//! commands go out and published messages come in. It says at any time whether Redis answers, and gets it back when it
//! does again.
//!
//! Nothing here is a truth: whoever uses the link has a way that does without it. No command blocks on the server, each
//! has a time limit, and a user of the link never waits for a reconnection.

mod channels;
mod connect;
mod link;
mod supervise;

use std::sync::Arc;

pub use channels::Membership;
pub use link::RedisLink;

/// Why a link cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL says something that cannot be done.
    #[error("REDIS_URL cannot be used: {0}")]
    Url(String),
    /// It does not answer, or refuses us.
    #[error("Redis does not answer: {0}")]
    Away(redis::RedisError),
    /// Sharded pub/sub came with version 7.
    #[error("Redis {0} is too old: version 7 or later is needed (or Valkey)")]
    Version(String),
}

/// Why a command was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// Redis is away; nothing was sent.
    #[error("Redis is away")]
    Down,
    /// The connection broke or the answer did not come in time: it may have been carried out.
    #[error("Redis did not answer: {0}")]
    Broken(redis::RedisError),
    /// Redis answered with an error and goes on answering: out of memory, a script that is wrong, ...
    #[error("Redis refused: {0}")]
    Refused(redis::RedisError),
}

/// Who is told what comes in. Called on the connection's own task: must return at once.
pub trait Listener: Send + Sync {
    /// A message on a channel somebody here has joined.
    fn heard(&self, channel: &[u8], payload: &[u8]);

    /// Redis is away. What is published from now on is not heard.
    fn lost(&self);

    /// Redis is back and every channel is joined again. Messages may have been missed.
    fn restored(&self);
}

/// Everybody who listens.
#[derive(Default)]
struct Listeners(std::sync::RwLock<Vec<Arc<dyn Listener>>>);

impl Listeners {
    fn add(&self, listener: Arc<dyn Listener>) {
        self.0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(listener);
    }

    fn tell(&self, what: impl Fn(&dyn Listener)) {
        let listeners = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        listeners.iter().for_each(|listener| what(listener.as_ref()));
    }
}
