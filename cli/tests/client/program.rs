//! Runs `mcpctl` and looks at what it leaves: exit code, stdout, stderr.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// A test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ends by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The lines of stdout as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect()
    }
}

/// The binary, without anything of the environment that could change what it does.
pub(crate) fn mcpctl(server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpctl"));
    command
        .args(args)
        .env("MCP_SERVER", server)
        .env_remove("MCP_API_KEY")
        .env_remove("NO_COLOR");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn run(server: &str, args: &[&str]) -> Ended {
    finish(mcpctl(server, args)).await
}

/// Runs it to its end.
pub(crate) async fn finish(mut command: Command) -> Ended {
    Ended::of(
        timeout(PATIENCE, command.output())
            .await
            .expect("it ends")
            .unwrap(),
    )
}

/// Runs it with this on stdin.
pub(crate) async fn feed(server: &str, args: &[&str], stdin: &[u8]) -> Ended {
    let mut child = mcpctl(server, args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).await.unwrap();
    Ended::of(
        timeout(PATIENCE, child.wait_with_output())
            .await
            .expect("it ends")
            .unwrap(),
    )
}
