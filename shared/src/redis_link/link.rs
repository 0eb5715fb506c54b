//! What users of the link call.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, Pipeline, ScriptInvocation, ServerErrorKind};
use tokio::sync::{Notify, mpsc, oneshot};

use super::channels::{Membership, Wish};
use super::{LinkError, Listener, Listeners, OpenError, connect};
use crate::config::RedisConfig;
use crate::telemetry::vocabulary;

/// The line to one Redis.
pub struct RedisLink {
    pub(super) client: Client,
    prefix: String,
    pub(super) timeout: Duration,
    pub(super) listeners: Arc<Listeners>,
    /// The connection in use; none while Redis is away.
    current: Mutex<Option<MultiplexedConnection>>,
    /// Woken when something suggests that the connection is of no use any more.
    pub(super) suspicion: Arc<Notify>,
    wishes: mpsc::UnboundedSender<Wish>,
    /// Taken by [`RedisLink::run`].
    pub(super) wished: Mutex<Option<mpsc::UnboundedReceiver<Wish>>>,
}

impl RedisLink {
    /// Connects; [`RedisLink::run`] keeps it so.
    ///
    /// # Errors
    /// When Redis does not answer, refuses us, or is too old.
    pub async fn open(config: &RedisConfig) -> Result<Arc<Self>, OpenError> {
        let client = connect::client(config)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "one wish per watcher that comes and one per watcher that goes, and a Drop cannot wait"
        )]
        let (wishes, wished) = mpsc::unbounded_channel();
        let link = Arc::new(Self {
            client,
            prefix: config.prefix.clone(),
            timeout: config.timeout,
            listeners: Arc::default(),
            current: Mutex::new(None),
            suspicion: Arc::default(),
            wishes,
            wished: Mutex::new(Some(wished)),
        });
        let mut connection = link.connect().await.map_err(OpenError::Away)?;
        connect::check_version(&mut connection).await?;
        link.set_current(Some(connection));
        Ok(link)
    }

    /// Makes a connection that can be written through.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        let suspicion = Arc::clone(&self.suspicion);
        let ended = move || suspicion.notify_one();
        let mut connection =
            connect::connect(&self.client, self.timeout, Arc::clone(&self.listeners), ended).await?;
        connect::probe(&mut connection, &self.probe_key()).await?;
        Ok(connection)
    }

    pub(super) fn probe_key(&self) -> String {
        self.key("probe")
    }

    pub(super) fn set_current(&self, connection: Option<MultiplexedConnection>) {
        metrics::gauge!(vocabulary::REDIS_UP).set(if connection.is_some() { 1.0 } else { 0.0 });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    pub(super) fn current(&self) -> Option<MultiplexedConnection> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether Redis answered the last time it was asked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// A key or channel of this installation.
    #[must_use]
    pub fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }

    /// Runs a script; one that the server does not know is loaded first.
    ///
    /// # Errors
    /// When Redis is away, does not answer in time, or refuses.
    pub async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, LinkError> {
        let mut connection = self.current().ok_or(LinkError::Down)?;
        let answer = script.invoke_async(&mut connection).await;
        self.judge(answer)
    }

    /// Runs a command, which must not block on the server.
    ///
    /// # Errors
    /// As [`RedisLink::invoke`].
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        let mut connection = self.current().ok_or(LinkError::Down)?;
        let answer = command.query_async(&mut connection).await;
        self.judge(answer)
    }

    /// Runs commands in one round trip, one after the other, without a transaction.
    ///
    /// # Errors
    /// As [`RedisLink::invoke`].
    pub async fn pipeline<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, LinkError> {
        let mut connection = self.current().ok_or(LinkError::Down)?;
        let answer = commands.query_async(&mut connection).await;
        self.judge(answer)
    }

    /// Joins a channel. Returns once Redis has confirmed it, so that what is published from now on is heard; while Redis
    /// is away it returns at once, and the channel is joined when it is back.
    pub async fn join(&self, channel: impl Into<Arc<str>>) -> Membership {
        let channel = channel.into();
        let (joined, confirmed) = oneshot::channel();
        // Errors mean that the link is gone: then there is nothing to hear.
        let _ = self.wishes.send(Wish::Join(Arc::clone(&channel), joined));
        let membership = Membership::new(channel, self.wishes.clone());
        let _ = confirmed.await;
        membership
    }

    /// Tells this listener from now on.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        self.listeners.add(listener);
    }

    fn judge<T>(&self, answer: redis::RedisResult<T>) -> Result<T, LinkError> {
        answer.map_err(|error| {
            if ends_connection(&error) {
                self.suspicion.notify_one();
                LinkError::Broken(error)
            } else {
                LinkError::Refused(error)
            }
        })
    }
}

/// Whether an error means that this connection, or the server behind it, is of no use now: it is silent, gone, still
/// loading, or has become a replica.
pub(super) fn ends_connection(error: &redis::RedisError) -> bool {
    let by_kind = matches!(
        error.kind(),
        redis::ErrorKind::Io
            | redis::ErrorKind::Parse
            | redis::ErrorKind::AuthenticationFailed
            | redis::ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ClusterDown
            )
    );
    by_kind || matches!(error.code(), Some("NOAUTH" | "NOPERM"))
}
