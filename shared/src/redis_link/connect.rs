//! Makes connections: TCP without delay and with keep-alive, time limits on everything, RESP3 so that messages come in
//! beside answers.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, Value,
};
use secrecy::ExposeSecret;

use super::{Listeners, OpenError};
use crate::config::RedisConfig;

/// A silent peer is asked after so long; three unanswered questions end the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Commands on their way to the connection's task; whoever finds it full waits.
const COMMANDS: usize = 1_024;

/// Reads the URL.
pub(super) fn client(config: &RedisConfig) -> Result<Client, OpenError> {
    // The error's own text may quote the URL, and with it the password.
    let unusable =
        |_| OpenError::Url("it is not of the form redis://[user:password@]host[:port][/db]".to_owned());
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE)
        .with_retries(3);
    let info = config
        .url
        .expose_secret()
        .into_connection_info()
        .map_err(unusable)?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keep_alive);
    Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp)).map_err(unusable)
}

/// Connects; what is published goes to the listeners, the end of the connection to `ended`.
pub(super) async fn connect(
    client: &Client,
    timeout: Duration,
    listeners: Arc<Listeners>,
    ended: impl Fn() + Send + Sync + 'static,
) -> Result<MultiplexedConnection, redis::RedisError> {
    let push = move |push: PushInfo| {
        take(&push, &listeners, &ended);
        Ok::<(), redis::aio::SendError>(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout))
        .set_pipeline_buffer_size(COMMANDS)
        .set_push_sender(push);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn take(push: &PushInfo, listeners: &Listeners, ended: &impl Fn()) {
    match (&push.kind, push.data.as_slice()) {
        (PushKind::SMessage, [Value::BulkString(channel), Value::BulkString(payload)]) => {
            listeners.tell(|listener| listener.heard(channel, payload));
        }
        (PushKind::Disconnection, _) => ended(),
        _ => {}
    }
}

/// Sees that the server is one that can be written to: a replica or one that is still loading says so here. Removes a
/// key that never is, because that is a write which is allowed also when memory is full.
pub(super) async fn probe(
    connection: &mut MultiplexedConnection,
    key: &str,
) -> Result<(), redis::RedisError> {
    Cmd::new().arg("DEL").arg(key).query_async(connection).await
}

/// Sees that sharded pub/sub is there.
pub(super) async fn check_version(connection: &mut MultiplexedConnection) -> Result<(), OpenError> {
    let info: String = Cmd::new()
        .arg("INFO")
        .arg("server")
        .query_async(connection)
        .await
        .map_err(OpenError::Away)?;
    // Valkey reports here which version of Redis it is compatible with.
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .unwrap_or("unknown")
        .trim();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 7) {
        return Err(OpenError::Version(version.to_owned()));
    }
    Ok(())
}
