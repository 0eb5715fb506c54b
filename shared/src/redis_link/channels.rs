//! Which channels this process has joined: counted, so that many may want the same one; joined and left in order by one
//! task, so that a late leave cannot undo an early join.

use std::collections::HashMap;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::{mpsc, oneshot};

/// Wishes carried out in one round trip.
pub(super) const WISHES: usize = 256;

/// A wish about a channel.
pub(super) enum Wish {
    /// To hear it; answered once Redis has confirmed, or cannot be asked.
    Join(Arc<str>, oneshot::Sender<()>),
    /// Not to hear it any more.
    Leave(Arc<str>),
}

/// Being in a channel, until dropped.
#[derive(Debug)]
pub struct Membership {
    channel: Arc<str>,
    wishes: mpsc::UnboundedSender<Wish>,
}

impl Membership {
    pub(super) const fn new(channel: Arc<str>, wishes: mpsc::UnboundedSender<Wish>) -> Self {
        Self { channel, wishes }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // An error means that the link is gone, and all its channels with it.
        let _ = self.wishes.send(Wish::Leave(Arc::clone(&self.channel)));
    }
}

/// The channels that are wanted, and by how many.
#[derive(Default)]
pub(super) struct Channels {
    wanted: HashMap<Arc<str>, usize>,
}

impl Channels {
    /// Carries out wishes, in order, in one round trip; without a connection they are only remembered.
    pub(super) async fn carry_out(
        &mut self,
        wishes: &mut Vec<Wish>,
        connection: Option<&mut MultiplexedConnection>,
    ) -> Result<(), redis::RedisError> {
        let mut pipeline = redis::pipe();
        let mut waiting = Vec::new();
        for wish in wishes.drain(..) {
            match wish {
                Wish::Join(channel, joined) => {
                    waiting.push(joined);
                    let count = self.wanted.entry(Arc::clone(&channel)).or_default();
                    *count += 1;
                    if *count == 1 {
                        pipeline.cmd("SSUBSCRIBE").arg(&*channel);
                    }
                }
                Wish::Leave(channel) => {
                    let Some(count) = self.wanted.get_mut(&channel) else {
                        continue;
                    };
                    *count -= 1;
                    if *count == 0 {
                        self.wanted.remove(&channel);
                        pipeline.cmd("SUNSUBSCRIBE").arg(&*channel);
                    }
                }
            }
        }
        let done = match connection {
            Some(connection) if !pipeline.is_empty() => {
                pipeline.query_async::<redis::Value>(connection).await.map(|_| ())
            }
            _ => Ok(()),
        };
        for joined in waiting {
            // An error means that nobody waits any more.
            let _ = joined.send(());
        }
        done
    }

    /// Joins everything that is wanted on a new connection.
    pub(super) async fn rejoin(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), redis::RedisError> {
        let wanted: Vec<&Arc<str>> = self.wanted.keys().collect();
        for some in wanted.chunks(WISHES) {
            let mut pipeline = redis::pipe();
            for channel in some {
                pipeline.cmd("SSUBSCRIBE").arg(&***channel);
            }
            pipeline.query_async::<redis::Value>(connection).await?;
        }
        Ok(())
    }
}
