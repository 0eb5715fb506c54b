//! Keeps the link: asks now and then whether Redis answers, says so when it does not, and connects again.

use std::sync::PoisonError;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::channels::{Channels, WISHES, Wish};
use super::{RedisLink, connect};

/// How often Redis is asked whether it is there. With the time limit of a command, half a second by default, an outage
/// is noticed within a second also by who has nothing to ask.
const PROBE: Duration = Duration::from_millis(250);
/// Pauses between tries to connect: the first, and the longest. Each is drawn from half to one and a half of its length,
/// so that a fleet does not come back in step.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(500);

impl RedisLink {
    /// Keeps the link until `shutdown`. To be called once; without it no channel is joined.
    pub async fn run(&self, shutdown: CancellationToken) {
        let wished = self.wished.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut wished) = wished else {
            tracing::error!("the link to Redis is kept by another task already");
            return;
        };
        shutdown.run_until_cancelled(self.keep(&mut wished)).await;
    }

    async fn keep(&self, wished: &mut mpsc::UnboundedReceiver<Wish>) {
        let mut channels = Channels::default();
        loop {
            if let Some(connection) = self.current() {
                let error = self.use_up(connection, wished, &mut channels).await;
                self.set_current(None);
                tracing::warn!(%error, "Redis is away: dispatch and feed go over to the database");
                self.listeners.tell(|listener| listener.lost());
            }
            let connection = self.connect_again(wished, &mut channels).await;
            self.set_current(Some(connection));
            tracing::info!("Redis is back");
            self.listeners.tell(|listener| listener.restored());
        }
    }

    /// Lives with a connection until it is of no use any more; answers why.
    async fn use_up(
        &self,
        mut connection: MultiplexedConnection,
        wished: &mut mpsc::UnboundedReceiver<Wish>,
        channels: &mut Channels,
    ) -> redis::RedisError {
        let mut wishes = Vec::with_capacity(WISHES);
        let mut probes = tokio::time::interval(PROBE);
        probes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut doubts = 0;
        loop {
            let answer = tokio::select! {
                _ = wished.recv_many(&mut wishes, WISHES) => {
                    channels.carry_out(&mut wishes, Some(&mut connection)).await
                }
                // A suspicion may be about the connection before this one: it is looked into, not believed.
                () = self.suspicion.notified() => connect::probe(&mut connection, &self.probe_key()).await,
                _ = probes.tick() => connect::probe(&mut connection, &self.probe_key()).await,
            };
            match answer {
                Ok(()) => doubts = 0,
                Err(error) if super::link::ends_connection(&error) => return error,
                Err(error) => {
                    // It answers, if only to refuse.
                    doubts += 1;
                    if doubts == 1 {
                        tracing::warn!(%error, "Redis refuses");
                    }
                }
            }
        }
    }

    /// Connects, however long it takes. Who wishes to join meanwhile is not kept waiting.
    async fn connect_again(
        &self,
        wished: &mut mpsc::UnboundedReceiver<Wish>,
        channels: &mut Channels,
    ) -> MultiplexedConnection {
        let mut wishes = Vec::with_capacity(WISHES);
        let mut pause = FIRST_PAUSE;
        loop {
            let jittered = pause.mul_f64(rand::random_range(0.5..1.5));
            let trying = async {
                tokio::time::sleep(jittered).await;
                self.connect().await
            };
            tokio::pin!(trying);
            let connected = loop {
                tokio::select! {
                    connected = &mut trying => break connected,
                    _ = wished.recv_many(&mut wishes, WISHES) => {
                        // Without a connection nothing can fail.
                        let _ = channels.carry_out(&mut wishes, None).await;
                    }
                }
            };
            pause = (pause * 2).min(LAST_PAUSE);
            let joined = match connected {
                Ok(mut connection) => channels.rejoin(&mut connection).await.map(|()| connection),
                Err(error) => Err(error),
            };
            match joined {
                Ok(connection) => return connection,
                Err(error) => tracing::debug!(%error, "Redis is still away"),
            }
        }
    }
}
