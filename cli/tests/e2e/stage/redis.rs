//! A Redis server of a test's own, for campaigns that stop, kill, freeze, empty and starve it.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;

use redis::{FromRedisValue, RedisResult};
use shared::domain::RunId;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::process::{Lines, signal};
use super::{ports, soon};

/// A server that keeps nothing unless it is told to; killed and removed when dropped.
pub(crate) struct Redis {
    home: TempDir,
    password: String,
    port: u16,
    child: Mutex<Option<Child>>,
}

impl Redis {
    /// Makes a server and starts it.
    pub(crate) async fn start() -> Self {
        let mut server = Self {
            home: tempfile::tempdir().expect("a folder"),
            password: RunId::new().uuid().simple().to_string(),
            port: 0,
            child: Mutex::new(None),
        };
        let mut said = String::new();
        // A port that was seen free may be taken a moment later, so the server itself tries.
        for _ in 0..50 {
            server.port = ports::next();
            match server.launch().await {
                Ok(()) => return server,
                Err(log) => said = log,
            }
        }
        panic!("Redis does not start: {said}");
    }

    /// Its address, with the password.
    pub(crate) fn url(&self) -> String {
        format!("redis://default:{}@127.0.0.1:{}", self.password, self.port)
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`; returns when it is dead. Connections to its port are refused from then on.
    pub(crate) async fn kill(&self) {
        let child = self.child.lock().expect("no panic while locked").take();
        child.expect("a running server").kill().await.expect("killed");
    }

    /// Starts it again, at the same address: with what [`Redis::save`] kept, else empty.
    pub(crate) async fn start_again(&self) {
        if let Err(log) = self.launch().await {
            panic!("Redis does not start again: {log}");
        }
    }

    /// Keeps what it holds now for the next start.
    pub(crate) async fn save(&self) {
        self.ask::<()>(&["SAVE"]).await;
    }

    /// Stops it in its tracks: it takes connections and answers nothing.
    pub(crate) fn freeze(&self) {
        signal(self.pid(), "STOP");
    }

    /// Ends [`Redis::freeze`].
    pub(crate) fn thaw(&self) {
        signal(self.pid(), "CONT");
    }

    /// Throws everything away.
    pub(crate) async fn flush(&self) {
        self.ask::<()>(&["FLUSHALL"]).await;
    }

    /// Refuses every write that needs memory, or none.
    pub(crate) async fn starve(&self, starving: bool) {
        // 0 means without a limit.
        let limit = if starving { "1" } else { "0" };
        self.ask::<()>(&["CONFIG", "SET", "maxmemory", limit]).await;
    }

    /// Closes every connection but this one.
    pub(crate) async fn disconnect_everybody(&self) {
        for kind in ["normal", "pubsub"] {
            self.ask::<i64>(&["CLIENT", "KILL", "TYPE", kind]).await;
        }
    }

    /// Bytes in use.
    pub(crate) async fn memory(&self) -> u64 {
        let info: String = self.ask(&["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        used.and_then(|bytes| bytes.trim().parse().ok())
            .expect("a number")
    }

    /// Sends a command over a connection of its own.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        soon("an answer of Redis", ask(&self.url(), command))
            .await
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    fn pid(&self) -> u32 {
        let child = self.child.lock().expect("no panic while locked");
        child.as_ref().and_then(Child::id).expect("a running server")
    }

    /// Starts it and waits until it takes connections; what it said when it does not.
    async fn launch(&self) -> Result<(), String> {
        let home = self.home.path();
        let settings = [
            "bind 127.0.0.1".to_owned(),
            format!("port {}", self.port),
            format!("requirepass {}", self.password),
            format!("dir {}", home.display()),
            "save \"\"".to_owned(),
            "appendonly no".to_owned(),
            "maxmemory-policy noeviction".to_owned(),
        ];
        let file = home.join("redis.conf");
        fs::write(&file, settings.join("\n")).expect("written");
        let mut child = Command::new(program())
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("no Redis server program: set MCP_TEST_REDIS_BIN to redis-server");
        let log = Lines::read(child.stdout.take().expect("piped"));
        let ready = soon("a listening Redis", log.find("Ready to accept connections")).await;
        if ready.is_none() {
            return Err(log.text());
        }
        *self.child.lock().expect("no panic while locked") = Some(child);
        Ok(())
    }
}

/// Sends a command to the server of a URL over a connection of its own.
pub(super) async fn ask<T: FromRedisValue>(url: &str, command: &[&str]) -> RedisResult<T> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (name, arguments) = command.split_first().expect("a command");
    redis::cmd(name).arg(arguments).query_async(&mut connection).await
}

/// `MCP_TEST_REDIS_BIN`, else what is in the path.
fn program() -> PathBuf {
    std::env::var_os("MCP_TEST_REDIS_BIN").map_or_else(|| "redis-server".into(), PathBuf::from)
}
